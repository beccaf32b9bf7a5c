terraform {
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

provider "kubectl" {
  config_path    = var.kubeconfig
  config_context = coalesce(var.context, terraform.workspace)
  # a definition is known to the API server a moment after it was applied
  apply_retry_count = 5
}

provider "kustomization" {
  kubeconfig_path = var.kubeconfig
  context         = coalesce(var.context, terraform.workspace)
}
