# The charts are the one source of what runs: what Helm would install is what is applied here.
locals {
  charts = abspath("${path.module}/../../../charts")
  crds   = abspath("${path.module}/../../../crds")

  values_of_variables = {
    region          = { id = var.region_id }
    image           = var.images
    hostPorts       = var.host_ports
    admissionPolicy = { enabled = true }
    responder       = { enabled = true }
    link = {
      service = {
        type        = var.link_service.type
        nodePort    = var.link_service.node_port
        annotations = var.link_service.annotations
      }
    }
  }
  more_values = yamldecode(var.operator_values)
  values = {
    for key in setunion(keys(local.values_of_variables), keys(local.more_values)) :
    # only objects can be merged; of anything else what is said last counts. By way of text, because types differ
    key => jsondecode(try(
      jsonencode(merge(local.values_of_variables[key], local.more_values[key])),
      jsonencode(try(local.more_values[key], local.values_of_variables[key])),
    ))
  }

  # alerts and dashboards are the module global's
  monitoring = ["monitoring.coreos.com/PrometheusRule/${var.namespace}/cranewing", "_/ConfigMap/${var.namespace}/cranewing-dashboards"]
  rendered = {
    for id, manifest in data.kustomization_overlay.operator.manifests : id => manifest if !contains(local.monitoring, id)
  }
  in_game_namespaces = { for id, manifest in local.rendered : id => manifest if contains(keys(var.game_namespaces), split("/", id)[2]) }
  deployment         = "apps/Deployment/${var.namespace}/cranewing-operator"
}

data "kustomization_overlay" "operator" {
  helm_globals {
    chart_home = local.charts
  }
  helm_charts {
    name          = "operator"
    release_name  = "cranewing"
    namespace     = var.namespace
    kube_version  = "1.33.0"
    values_inline = yamlencode(local.values)
  }
  kustomize_options {
    enable_helm     = true
    helm_path       = "helm"
    load_restrictor = "none"
  }
}
