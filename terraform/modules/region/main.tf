# In the order in which a region is built; it is taken apart the other way round, so that the operator is there until the last
# of its objects has gone.

resource "kubectl_manifest" "definitions" {
  for_each = fileset(local.crds, "*.yaml")

  yaml_body         = file("${local.crds}/${each.value}")
  server_side_apply = true
  force_conflicts   = true
  # every object of the kind goes first
  wait = true
}

resource "kubectl_manifest" "namespace" {
  yaml_body = yamlencode({
    apiVersion = "v1"
    kind       = "Namespace"
    metadata = {
      name = var.namespace
      # responders have a host port, and the seccomp profile is a file of the node
      labels = { "pod-security.kubernetes.io/enforce" = "privileged" }
    }
  })
  server_side_apply = true
  force_conflicts   = true
  # one that others made is never removed
  apply_only = !var.create_namespace
  wait       = true
}

resource "kubectl_manifest" "link_key" {
  # whether there is a key is no secret
  count = nonsensitive(var.link_key == "") ? 0 : 1

  yaml_body = yamlencode({
    apiVersion = "v1"
    kind       = "Secret"
    metadata = {
      name      = "cranewing-link"
      namespace = var.namespace
      labels    = { "app.kubernetes.io/managed-by" = "terraform" }
    }
    type = "Opaque"
    data = {
      "key.pem"  = base64encode(var.link_key)
      "regionId" = base64encode(var.region_id)
    }
  })
  server_side_apply = true
  force_conflicts   = true

  depends_on = [kubectl_manifest.namespace]
}

resource "kubectl_manifest" "operator" {
  for_each = { for id, manifest in local.rendered : id => manifest if id != local.deployment && !contains(keys(local.in_game_namespaces), id) }

  yaml_body         = each.value
  server_side_apply = true
  force_conflicts   = true

  depends_on = [kubectl_manifest.namespace, kubectl_manifest.definitions]
}

# After its account, so that no pod is refused and tried again later; the apply goes on when the operator is available.
resource "kubectl_manifest" "deployment" {
  yaml_body         = local.rendered[local.deployment]
  server_side_apply = true
  force_conflicts   = true
  wait_for_rollout  = true

  depends_on = [kubectl_manifest.operator, kubectl_manifest.link_key]
}

resource "kubectl_manifest" "region_cluster" {
  yaml_body = yamlencode({
    apiVersion = "cranewing.dev/v1alpha1"
    kind       = "RegionCluster"
    metadata   = { name = var.region_id }
    spec = merge(
      {
        regionId              = var.region_id
        displayName           = var.display_name
        zones                 = var.zones
        vpcCidr               = var.cidr
        minGameServers        = var.min_game_servers
        maxGameServers        = var.max_game_servers
        playersPerServer      = var.players_per_server
        latencyToOtherRegions = var.latency_ms
        failover              = var.failover
      },
      # what is not said here is somebody else's, such as `operator region drain`'s
      length(var.drains) == 0 ? {} : { drains = sort(var.drains) },
    )
  })
  server_side_apply = true
  force_conflicts   = true

  depends_on = [kubectl_manifest.deployment]
}

resource "kubectl_manifest" "game_namespaces" {
  for_each = var.game_namespaces

  yaml_body = yamlencode({
    apiVersion = "v1"
    kind       = "Namespace"
    metadata = {
      name = each.key
      labels = {
        # host ports; what their pods may do is held by the admission policy of the chart
        "pod-security.kubernetes.io/enforce" = "privileged"
        "cranewing.dev/game-servers"         = "true"
      }
      annotations = { "cranewing.dev/takes-fleets-from" = join(",", each.value.takes_fleets_from) }
    }
  })
  server_side_apply = true
  force_conflicts   = true
  # one that others made is never removed
  apply_only = !each.value.create
  # a namespace goes when the last game server in it has, and that when its players have or its drain's deadline has come
  wait = true

  depends_on = [kubectl_manifest.region_cluster]
}

# What the chart has for game namespaces (networkPolicy.gameNamespaces): after them, and before the first game server.
resource "kubectl_manifest" "in_game_namespaces" {
  for_each = local.in_game_namespaces

  yaml_body         = each.value
  server_side_apply = true
  force_conflicts   = true

  depends_on = [kubectl_manifest.game_namespaces]
}

resource "kubectl_manifest" "quotas" {
  for_each = { for name, namespace in var.game_namespaces : name => namespace.quota if length(namespace.quota) > 0 }

  yaml_body = yamlencode({
    apiVersion = "v1"
    kind       = "ResourceQuota"
    metadata   = { name = "cranewing", namespace = each.key }
    spec       = { hard = each.value }
  })
  server_side_apply = true
  force_conflicts   = true

  depends_on = [kubectl_manifest.game_namespaces]
}

resource "kubectl_manifest" "fleets" {
  for_each = var.fleets

  yaml_body = yamlencode({
    apiVersion = "cranewing.dev/v1alpha1"
    kind       = "Fleet"
    metadata   = { name = each.key, namespace = each.value.namespace }
    spec       = yamldecode(each.value.spec)
  })
  server_side_apply = true
  force_conflicts   = true
  # its game servers go first, and each when nobody plays on it any more or its drain's deadline has come
  wait = true

  depends_on = [kubectl_manifest.game_namespaces, kubectl_manifest.in_game_namespaces, kubectl_manifest.quotas]
}

resource "kubectl_manifest" "autoscalers" {
  for_each = { for name, fleet in var.fleets : name => fleet if fleet.autoscaler != null }

  yaml_body = yamlencode({
    apiVersion = "cranewing.dev/v1alpha1"
    kind       = "AutoScaler"
    metadata   = { name = each.key, namespace = each.value.namespace }
    spec       = merge({ fleet = each.key }, yamldecode(each.value.autoscaler))
  })
  server_side_apply = true
  force_conflicts   = true

  depends_on = [kubectl_manifest.game_namespaces]
}
