terraform {
  required_providers {
    # renders the chart; does not talk to the cluster
    kustomization = {
      source  = "kbst/kustomization"
      version = ">= 0.9.8, < 1.0"
    }
    # server-side apply: what is there already is taken over, so that an apply that was cut off can be repeated
    kubectl = {
      source  = "gavinbunney/kubectl"
      version = ">= 1.19, < 2.0"
    }
  }
}
