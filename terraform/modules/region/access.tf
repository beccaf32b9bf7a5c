locals {
  rules = {
    deployers = [
      { apiGroups = ["cranewing.dev"], resources = ["fleets", "autoscalers"], verbs = ["get", "list", "watch", "create", "update", "patch", "delete"] },
      { apiGroups = ["cranewing.dev"], resources = ["fleets/scale"], verbs = ["get", "update", "patch"] },
      { apiGroups = ["cranewing.dev"], resources = ["gameservers"], verbs = ["get", "list", "watch"] },
    ]
    matchmakers = [
      { apiGroups = ["cranewing.dev"], resources = ["gameserverallocations"], verbs = ["get", "list", "watch", "create"] },
      { apiGroups = ["cranewing.dev"], resources = ["fleets", "gameservers"], verbs = ["get", "list", "watch"] },
    ]
    viewers = [
      { apiGroups = ["cranewing.dev"], resources = ["*"], verbs = ["get", "list", "watch"] },
      { apiGroups = ["", "events.k8s.io"], resources = ["events"], verbs = ["get", "list", "watch"] },
    ]
  }

  subjects = {
    for name, who in var.access : name => concat(
      [for group in who.groups : { apiGroup = "rbac.authorization.k8s.io", kind = "Group", name = group }],
      [for account in who.accounts : { kind = "ServiceAccount", namespace = split("/", account)[0], name = split("/", account)[1] }],
    )
  }

  # only for those whom somebody is among, so that no role lies about
  roles = merge([
    for namespace in keys(var.game_namespaces) : {
      for name, rules in local.rules : "${namespace}/${name}" => { namespace = namespace, name = "cranewing-${name}", rules = rules, subjects = local.subjects[name] }
      if length(local.subjects[name]) > 0
    }
  ]...)
}

resource "kubectl_manifest" "roles" {
  for_each = local.roles

  yaml_body = yamlencode({
    apiVersion = "rbac.authorization.k8s.io/v1"
    kind       = "Role"
    metadata   = { name = each.value.name, namespace = each.value.namespace }
    rules      = each.value.rules
  })
  server_side_apply = true
  force_conflicts   = true

  depends_on = [kubectl_manifest.game_namespaces]
}

resource "kubectl_manifest" "role_bindings" {
  for_each = local.roles

  yaml_body = yamlencode({
    apiVersion = "rbac.authorization.k8s.io/v1"
    kind       = "RoleBinding"
    metadata   = { name = each.value.name, namespace = each.value.namespace }
    roleRef    = { apiGroup = "rbac.authorization.k8s.io", kind = "Role", name = each.value.name }
    subjects   = each.value.subjects
  })
  server_side_apply = true
  force_conflicts   = true

  depends_on = [kubectl_manifest.roles]
}

# Orders about regions need this and nothing more.
resource "kubectl_manifest" "on_call_role" {
  count = length(local.subjects.on_call) == 0 ? 0 : 1

  yaml_body = yamlencode({
    apiVersion = "rbac.authorization.k8s.io/v1"
    kind       = "ClusterRole"
    metadata   = { name = "cranewing-region-orders" }
    rules      = [{ apiGroups = ["cranewing.dev"], resources = ["regionclusters"], verbs = ["get", "list", "patch"] }]
  })
  server_side_apply = true
  force_conflicts   = true
}

resource "kubectl_manifest" "on_call_binding" {
  count = length(local.subjects.on_call) == 0 ? 0 : 1

  yaml_body = yamlencode({
    apiVersion = "rbac.authorization.k8s.io/v1"
    kind       = "ClusterRoleBinding"
    metadata   = { name = "cranewing-region-orders" }
    roleRef    = { apiGroup = "rbac.authorization.k8s.io", kind = "ClusterRole", name = "cranewing-region-orders" }
    subjects   = local.subjects.on_call
  })
  server_side_apply = true
  force_conflicts   = true

  depends_on = [kubectl_manifest.on_call_role]
}
