# What makes one of many regions. Nobody writes into another region: each region's state has what belongs into its own cluster, out
# of a map that is the same in all of them.

resource "kubectl_manifest" "peers" {
  for_each = { for id, region in var.regions : id => region if id != var.region_id }

  yaml_body = yamlencode({
    apiVersion = "v1"
    kind       = "Secret"
    metadata = {
      name      = "cranewing-peer-${each.key}"
      namespace = var.namespace
      labels = {
        "cranewing.dev/peer"           = each.key
        "app.kubernetes.io/managed-by" = "terraform"
      }
    }
    type = "Opaque"
    data = merge(
      {
        addresses  = base64encode(join(",", each.value.addresses))
        publicKeys = base64encode(join(",", each.value.public_keys))
      },
      length(each.value.responders) == 0 ? {} : { responders = base64encode(join(",", each.value.responders)) },
    )
  })
  server_side_apply = true
  force_conflicts   = true
}

locals {
  own_fleets = { for name, fleet in var.fleets : name => fleet if yamldecode(fleet.spec).home == var.region_id }
}

resource "kubectl_manifest" "fleets" {
  for_each = local.own_fleets

  yaml_body = yamlencode({
    apiVersion = "cranewing.dev/v1alpha1"
    kind       = "Fleet"
    metadata   = { name = each.key, namespace = each.value.namespace }
    spec       = yamldecode(each.value.spec)
  })
  server_side_apply = true
  force_conflicts   = true
  # it goes when the regions that can be reached have let go of their shares
  wait = true

  # that they are there; and while a Fleet goes, the others must still be known
  depends_on = [kubectl_manifest.peers]
}

resource "kubectl_manifest" "autoscalers" {
  for_each = { for name, fleet in local.own_fleets : name => fleet if fleet.autoscaler != null }

  yaml_body = yamlencode({
    apiVersion = "cranewing.dev/v1alpha1"
    kind       = "AutoScaler"
    metadata   = { name = each.key, namespace = each.value.namespace }
    spec       = merge({ fleet = each.key }, yamldecode(each.value.autoscaler))
  })
  server_side_apply = true
  force_conflicts   = true

  depends_on = [kubectl_manifest.peers]
}
