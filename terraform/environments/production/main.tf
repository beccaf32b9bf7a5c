# One state a region: the workspace names the region, and with it its entry in `regions` and its context. Where the entry is missing the
# plan is to remove what the state has: so a region is taken out as it was put in.

locals {
  here = { for id, region in var.regions : id => region if id == terraform.workspace }
  # everybody says it, so a majority does
  drains = [for id, region in var.regions : id if region.drained]
}

module "region" {
  source   = "../../modules/region"
  for_each = local.here

  region_id          = each.key
  display_name       = each.value.display_name
  zones              = each.value.zones
  cidr               = each.value.cidr
  other_cidrs        = { for id, region in var.regions : id => region.cidr if id != each.key }
  min_game_servers   = each.value.min_game_servers
  max_game_servers   = each.value.max_game_servers
  players_per_server = each.value.players_per_server
  latency_ms         = each.value.latency_ms
  failover           = each.value.failover
  drains             = local.drains

  images          = var.images
  link_key        = var.link_key
  link_service    = each.value.link_service
  operator_values = var.operator_values
  access          = var.access
  fleets          = each.value.fleets

  namespace        = var.namespace
  create_namespace = var.create_namespace
  host_ports       = each.value.host_ports
  game_namespaces = {
    for name, namespace in var.game_namespaces : name => {
      create            = namespace.create
      takes_fleets_from = namespace.takes_fleets_from == null ? sort(keys(var.regions)) : namespace.takes_fleets_from
      quota             = try(each.value.quotas[name], namespace.quota)
    }
  }
}

module "global" {
  source   = "../../modules/global"
  for_each = local.here

  region_id       = each.key
  namespace       = module.region[each.key].namespace
  game_namespaces = module.region[each.key].game_namespaces
  regions         = { for id, region in var.regions : id => region.link }
  fleets          = var.placed_fleets
  alerting        = var.alerting
}

# It is the first to go: while a region is not drained, nothing of it goes. Where it is, is recorded, since what is removed has no variables.
resource "terraform_data" "guard" {
  for_each = local.here

  input = {
    region     = each.key
    kubeconfig = var.kubeconfig
    context    = coalesce(var.context, terraform.workspace)
    opens      = !var.guard
  }

  provisioner "local-exec" {
    when    = destroy
    command = self.output.opens ? "true" : "sh '${path.module}/may_go.sh'"
    environment = {
      REGION          = self.output.region
      KUBECONFIG_PATH = self.output.kubeconfig
      CONTEXT         = self.output.context
    }
  }

  depends_on = [module.region, module.global]
}
