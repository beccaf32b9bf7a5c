# All regions in one state, by OpenTofu: it has providers for each entry of a map, and Terraform has not. The modules have no provider
# blocks, so they work either way. What speaks for a state a region: docs/adr/0032-a-state-a-region.md.

terraform {
  required_version = ">= 1.12"

  required_providers {
    kustomization = {
      source  = "kbst/kustomization"
      version = ">= 0.9.8, < 1.0"
    }
    kubectl = {
      source  = "gavinbunney/kubectl"
      version = ">= 1.19, < 2.0"
    }
  }
}

variable "contexts" {
  description = "Context of each region, by regionId. One that is taken out of regions stays here until all of it has been removed."
  type        = map(string)
}

variable "regions" {
  description = "Zones, address range, and link of each region, by regionId."
  type = map(object({
    zones = list(string)
    cidr  = string
    link = object({
      addresses   = list(string)
      public_keys = list(string)
    })
  }))
}

variable "link_keys" {
  description = "Private keys by regionId."
  type        = map(string)
  sensitive   = true
}

variable "images" {
  description = "Images of the operator and of game servers."
  type        = object({ operator = string, gameserver = string })
}

provider "kubectl" {
  alias             = "of"
  for_each          = var.contexts
  config_context    = each.value
  apply_retry_count = 5
}

provider "kustomization" {
  alias           = "of"
  for_each        = var.contexts
  kubeconfig_path = "~/.kube/config"
  context         = each.value
}

module "region" {
  source   = "../../modules/region"
  for_each = var.regions
  providers = {
    kubectl       = kubectl.of[each.key]
    kustomization = kustomization.of[each.key]
  }

  region_id   = each.key
  zones       = each.value.zones
  cidr        = each.value.cidr
  other_cidrs = { for id, region in var.regions : id => region.cidr if id != each.key }
  images      = var.images
  link_key    = var.link_keys[each.key]
}

module "global" {
  source   = "../../modules/global"
  for_each = var.regions
  providers = {
    kubectl       = kubectl.of[each.key]
    kustomization = kustomization.of[each.key]
  }

  region_id       = each.key
  namespace       = module.region[each.key].namespace
  game_namespaces = module.region[each.key].game_namespaces
  regions         = { for id, region in var.regions : id => region.link }
}
