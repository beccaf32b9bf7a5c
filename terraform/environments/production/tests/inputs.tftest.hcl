# What the environment's own inputs come to. The workspace of tests is called default, and so is the region.

mock_provider "kubectl" {}

provider "kustomization" {
  kubeconfig_raw = "{apiVersion: v1, kind: Config, clusters: [{name: a, cluster: {server: 'https://127.0.0.1:1'}}], contexts: [{name: a, context: {cluster: a}}], current-context: a}"
}

variables {
  link_key = ""
  images   = { operator = "cranewing/operator:1", gameserver = "cranewing/gameserver:1" }
  regions = {
    default = { zones = ["a", "b", "c"], cidr = "10.10.0.0/16", link = { addresses = ["a:1"], public_keys = ["MCowBQYDK2VwAyEAKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrI="] } }
  }
  placed_fleets = {}
}

run "without_a_word_they_are_those_of_the_modules" {
  command = plan

  assert {
    condition     = module.region["default"].namespace == "cranewing-system" && join(" ", module.region["default"].game_namespaces) == "games"
    error_message = "namespaces are those of the module"
  }
  assert {
    condition     = module.region["default"].endpoints.players == "UDP 7000-7999 on each node"
    error_message = "host ports are those of the module"
  }
}

run "namespaces_and_host_ports_are_passed_on" {
  command = plan

  variables {
    namespace       = "ops"
    game_namespaces = { arenas = {}, duels = {} }
    regions = {
      default = { zones = ["a", "b", "c"], cidr = "10.10.0.0/16", host_ports = "20000-20999", link = { addresses = ["a:1"], public_keys = ["MCowBQYDK2VwAyEAKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrI="] } }
    }
  }
  assert {
    condition     = module.region["default"].namespace == "ops" && join(" ", module.region["default"].game_namespaces) == "arenas duels"
    error_message = "namespaces are those of the environment"
  }
  assert {
    condition     = strcontains(module.region["default"].manifests["apps/Deployment/ops/cranewing-operator"], "20000-20999")
    error_message = "the operator gives game servers the region's host ports"
  }
  assert {
    condition     = module.region["default"].endpoints.players == "UDP 20000-20999 on each node"
    error_message = "whoever opens a firewall reads the region's host ports"
  }
}
