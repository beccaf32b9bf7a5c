# What the variables refuse: each run that fails has one value that is wrong, by one rule.

mock_provider "kubectl" {}

# it renders the chart and talks to nobody
provider "kustomization" {
  kubeconfig_raw = "{apiVersion: v1, kind: Config, clusters: [{name: a, cluster: {server: 'https://127.0.0.1:1'}}], contexts: [{name: a, context: {cluster: a}}], current-context: a}"
}

variables {
  region_id       = "kr"
  namespace       = "cranewing-system"
  game_namespaces = ["games"]
  regions = {
    kr = { addresses = ["10.0.0.1:30844"], public_keys = ["MCowBQYDK2VwAyEAKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrI="] }
    jp = { addresses = ["link.jp.example:8444", "[fd00::1]:8444"], public_keys = ["MCowBQYDK2VwAyEAJpJpJpJpJpJpJpJpJpJpJpJpJpJpJpJpJpJpJpJpJpI="] }
  }
  fleets = {
    arena = { spec = "{home: kr, placement: {regions: [{regionId: jp}]}, template: {}}", autoscaler = "{min: 3, max: 9, policies: []}" }
    away  = { spec = "{home: jp, placement: {}, replicas: 3, template: {}}" }
  }
}

run "each_region_has_the_others_and_the_fleets_whose_home_it_is" {
  command = plan

  assert {
    condition     = keys(kubectl_manifest.peers) == ["jp"]
    error_message = "the others are registered, and not the region itself"
  }
  assert {
    condition     = yamldecode(kubectl_manifest.peers["jp"].yaml_body).metadata.labels["cranewing.dev/peer"] == "jp" && base64decode(yamldecode(kubectl_manifest.peers["jp"].yaml_body).data.addresses) == "link.jp.example:8444,[fd00::1]:8444"
    error_message = "a peer has its label and its addresses"
  }
  assert {
    condition     = keys(kubectl_manifest.fleets) == ["arena"] && keys(kubectl_manifest.autoscalers) == ["arena"]
    error_message = "a Fleet is applied at its home alone"
  }
  assert {
    condition     = length(kubectl_manifest.monitoring) == 0
    error_message = "there is no alerting where none is asked for"
  }
}

run "alerting_is_the_charts" {
  command = plan

  variables {
    alerting = { rules = true, dashboards = true, labels = { release = "monitoring" }, alert_labels = { team = "games" } }
  }
  assert {
    condition     = keys(kubectl_manifest.monitoring) == ["_/ConfigMap/cranewing-system/cranewing-dashboards", "monitoring.coreos.com/PrometheusRule/cranewing-system/cranewing"]
    error_message = "rules and dashboard, and nothing else of the chart"
  }
  assert {
    condition     = jsondecode(kubectl_manifest.monitoring["monitoring.coreos.com/PrometheusRule/cranewing-system/cranewing"].yaml_body).metadata.labels.release == "monitoring"
    error_message = "a Prometheus finds the rules by their labels"
  }
}

run "a_region_that_is_none_of_them" {
  command = plan

  variables {
    region_id = "sg"
  }
  expect_failures = [var.region_id]
}

run "a_namespace_in_capitals" {
  command = plan

  variables {
    namespace = "Cranewing"
  }
  expect_failures = [var.namespace]
}

run "a_name_in_capitals" {
  command = plan

  variables {
    regions = { kr = { addresses = ["a:1"], public_keys = ["MCowBQYDK2VwAyEAKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrI="] }, JP = { addresses = ["a:1"], public_keys = ["MCowBQYDK2VwAyEAJpJpJpJpJpJpJpJpJpJpJpJpJpJpJpJpJpJpJpJpJpI="] } }
    fleets  = {}
  }
  expect_failures = [var.regions]
}

run "an_address_without_a_port" {
  command = plan

  variables {
    regions = { kr = { addresses = ["a"], public_keys = ["MCowBQYDK2VwAyEAKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrI="] } }
    fleets  = {}
  }
  expect_failures = [var.regions]
}

run "no_address" {
  command = plan

  variables {
    regions = { kr = { addresses = [], public_keys = ["MCowBQYDK2VwAyEAKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrI="] } }
    fleets  = {}
  }
  expect_failures = [var.regions]
}

run "nine_addresses" {
  command = plan

  variables {
    regions = { kr = { addresses = [for n in range(9) : "a:${n + 1}"], public_keys = ["MCowBQYDK2VwAyEAKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrI="] } }
    fleets  = {}
  }
  expect_failures = [var.regions]
}

run "an_address_at_port_0" {
  command = plan

  variables {
    regions = { kr = { addresses = ["a:0"], public_keys = ["MCowBQYDK2VwAyEAKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrI="] } }
    fleets  = {}
  }
  expect_failures = [var.regions]
}

run "an_address_above_port_65535" {
  command = plan

  variables {
    regions = { kr = { addresses = ["a:65536"], public_keys = ["MCowBQYDK2VwAyEAKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrI="] } }
    fleets  = {}
  }
  expect_failures = [var.regions]
}

run "a_key_of_another_kind" {
  command = plan

  variables {
    regions = { kr = { addresses = ["a:1"], public_keys = ["MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA"] } }
    fleets  = {}
  }
  expect_failures = [var.regions]
}

run "three_keys" {
  command = plan

  variables {
    regions = { kr = { addresses = ["a:1"], public_keys = [for n in range(3) : "MCowBQYDK2VwAyEAKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrK${n}I="] } }
    fleets  = {}
  }
  expect_failures = [var.regions]
}

run "two_regions_with_one_key" {
  command = plan

  variables {
    regions = { for id in ["kr", "jp"] : id => { addresses = ["a:1"], public_keys = ["MCowBQYDK2VwAyEAKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrI="] } }
  }
  expect_failures = [var.regions]
}

run "nine_responders" {
  command = plan

  variables {
    regions = { kr = { addresses = ["a:1"], public_keys = ["MCowBQYDK2VwAyEAKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrI="], responders = [for n in range(9) : "10.0.0.${n}:8444"] } }
    fleets  = {}
  }
  expect_failures = [var.regions]
}

run "a_responder_with_a_name" {
  command = plan

  variables {
    regions = { kr = { addresses = ["a:1"], public_keys = ["MCowBQYDK2VwAyEAKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrI="], responders = ["node.kr.example:8444"] } }
    fleets  = {}
  }
  expect_failures = [var.regions]
}

run "a_responder_above_port_65535" {
  command = plan

  variables {
    regions = { kr = { addresses = ["a:1"], public_keys = ["MCowBQYDK2VwAyEAKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrI="], responders = ["203.0.113.7:84440"] } }
    fleets  = {}
  }
  expect_failures = [var.regions]
}

run "a_fleet_with_a_long_name" {
  command = plan

  variables {
    fleets = { a-name-of-more-than-thirty-one-letters = { spec = "{home: kr, placement: {}}" } }
  }
  expect_failures = [var.fleets]
}

run "a_fleet_in_capitals" {
  command = plan

  variables {
    fleets = { Arena = { spec = "{home: kr, placement: {}}" } }
  }
  expect_failures = [var.fleets]
}

run "a_fleet_without_placement" {
  command = plan

  variables {
    fleets = { arena = { spec = "{home: kr, replicas: 3}" } }
  }
  expect_failures = [var.fleets]
}

run "a_home_that_is_no_region" {
  command = plan

  variables {
    fleets = { arena = { spec = "{home: sg, placement: {}}" } }
  }
  expect_failures = [var.fleets]
}

run "a_placement_that_is_no_region" {
  command = plan

  variables {
    fleets = { arena = { spec = "{home: kr, placement: {regions: [{regionId: sg}]}}" } }
  }
  expect_failures = [var.fleets]
}

run "replicas_beside_an_autoscaler" {
  command = plan

  variables {
    fleets = { arena = { spec = "{home: kr, placement: {}, replicas: 3}", autoscaler = "{min: 3, max: 9}" } }
  }
  expect_failures = [var.fleets]
}

run "an_autoscaler_without_a_max" {
  command = plan

  variables {
    fleets = { arena = { spec = "{home: kr, placement: {}}", autoscaler = "{min: 3}" } }
  }
  expect_failures = [var.fleets]
}

run "an_autoscaler_whose_min_is_above_its_max" {
  command = plan

  variables {
    fleets = { arena = { spec = "{home: kr, placement: {}}", autoscaler = "{min: 9, max: 3}" } }
  }
  expect_failures = [var.fleets]
}

run "an_autoscaler_below_nothing" {
  command = plan

  variables {
    fleets = { arena = { spec = "{home: kr, placement: {}}", autoscaler = "{min: -1, max: 9}" } }
  }
  expect_failures = [var.fleets]
}

run "an_autoscaler_with_half_a_server" {
  command = plan

  variables {
    fleets = { arena = { spec = "{home: kr, placement: {}}", autoscaler = "{min: 3, max: 9.5}" } }
  }
  expect_failures = [var.fleets]
}

run "a_namespace_that_is_not_there" {
  command = plan

  variables {
    fleets = { arena = { namespace = "elsewhere", spec = "{home: kr, placement: {}}" } }
  }
  expect_failures = [var.fleets]
}

run "runbooks_with_a_slash_at_the_end" {
  command = plan

  variables {
    alerting = { runbooks = "https://runbooks.example/" }
  }
  expect_failures = [var.alerting]
}
