output "peers" {
  description = "Regions that are registered here."
  value       = sort(keys(kubectl_manifest.peers))
}

output "wait_for" {
  description = "Conditions that hold when all regions are up: arguments of `kubectl wait`."
  value = concat(
    [for id in sort(keys(kubectl_manifest.peers)) : "--for=condition=Connected regionclusters.cranewing.dev/${id}"],
    [for name in sort(keys(kubectl_manifest.fleets)) : "--namespace ${local.own_fleets[name].namespace} --for=condition=Ready fleets.cranewing.dev/${name}"],
  )
}
