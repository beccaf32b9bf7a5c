# What stands on these is applied after them, and removed before them.
output "namespace" {
  description = "Namespace of the operator, once the operator is available."
  value       = var.namespace
  depends_on  = [kubectl_manifest.deployment, kubectl_manifest.region_cluster]
}

output "game_namespaces" {
  description = "Namespaces for game servers, once they are there."
  value       = keys(var.game_namespaces)
  depends_on  = [kubectl_manifest.game_namespaces, kubectl_manifest.in_game_namespaces, kubectl_manifest.quotas]
}

output "endpoints" {
  description = "Where matchmakers and other regions ask in this region, and which ports players come by."
  value = {
    placement  = "cranewing-placement.${var.namespace}.svc:8445"
    allocation = "cranewing-allocation.${var.namespace}.svc:8447"
    link       = "Service ${var.namespace}/cranewing-link, port 8444, type ${var.link_service.type}"
    players    = "UDP ${var.host_ports} on each node"
  }
}

output "wait_for" {
  description = "Conditions that hold when the region is up: arguments of `kubectl wait`."
  value = concat(
    [
      "--namespace ${var.namespace} --for=condition=Available deployment/cranewing-operator",
      "--for=condition=Ready regionclusters.cranewing.dev/${var.region_id}",
    ],
    [for name, fleet in var.fleets : "--namespace ${fleet.namespace} --for=condition=Ready fleets.cranewing.dev/${name}"],
  )
}

output "manifests" {
  description = "What is applied of charts/operator, by `group/kind/namespace/name`, as JSON."
  value       = local.rendered
}
