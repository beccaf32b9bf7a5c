output "endpoints" {
  description = "Where matchmakers and other regions ask in this region, and which ports players come by."
  value       = one(values(module.region)[*].endpoints)
}

output "wait_for" {
  description = "Conditions that hold when the region is up: arguments of `kubectl wait`."
  value       = concat(flatten(values(module.region)[*].wait_for), flatten(values(module.global)[*].wait_for))
}

output "peers" {
  description = "Regions that are registered in this one."
  value       = flatten(values(module.global)[*].peers)
}
