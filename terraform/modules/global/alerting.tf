# Alerts and dashboards are those of the chart, and nothing else of it is applied here.
locals {
  monitoring = try({ for id, manifest in data.kustomization_overlay.monitoring[0].manifests : id => manifest if anytrue([
    var.alerting.rules && id == "monitoring.coreos.com/PrometheusRule/${var.namespace}/cranewing",
    var.alerting.dashboards && id == "_/ConfigMap/${var.namespace}/cranewing-dashboards",
  ]) }, {})
}

data "kustomization_overlay" "monitoring" {
  count = var.alerting.rules || var.alerting.dashboards ? 1 : 0

  helm_globals {
    chart_home = abspath("${path.module}/../../../charts")
  }
  helm_charts {
    name         = "operator"
    release_name = "cranewing"
    namespace    = var.namespace
    kube_version = "1.33.0"
    values_inline = yamlencode({
      region = { id = var.region_id }
      monitoring = {
        alerts     = { enabled = true, labels = var.alerting.labels, alertLabels = var.alerting.alert_labels }
        dashboards = { enabled = true }
        runbooks   = var.alerting.runbooks
      }
    })
  }
  kustomize_options {
    enable_helm     = true
    helm_path       = "helm"
    load_restrictor = "none"
  }
}

resource "kubectl_manifest" "monitoring" {
  for_each = local.monitoring

  yaml_body         = each.value
  server_side_apply = true
  force_conflicts   = true
}
