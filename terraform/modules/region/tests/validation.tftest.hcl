# What the variables refuse; each run fails by one rule, and by that alone.

mock_provider "kubectl" {}

# it renders the chart and talks to nobody
provider "kustomization" {
  kubeconfig_raw = "{apiVersion: v1, kind: Config, clusters: [{name: a, cluster: {server: 'https://127.0.0.1:1'}}], contexts: [{name: a, context: {cluster: a}}], current-context: a}"
}

variables {
  region_id = "kr"
  zones     = ["kr-a", "kr-b", "kr-c"]
  cidr      = "10.10.0.0/16"
  images    = { operator = "cranewing/operator:1", gameserver = "cranewing/gameserver:1" }
  link_key  = ""
}

run "what_is_right_is_taken" {
  command = plan
}

run "a_region_id_in_capitals" {
  command = plan

  variables {
    region_id = "KR"
  }
  expect_failures = [var.region_id]
}

run "a_region_id_of_nine_letters" {
  command = plan

  variables {
    region_id = "koreawest"
  }
  expect_failures = [var.region_id]
}

run "a_long_display_name" {
  command = plan

  variables {
    display_name = join("", [for n in range(65) : "x"])
  }
  expect_failures = [var.display_name]
}

run "two_zones" {
  command = plan

  variables {
    zones = ["kr-a", "kr-b"]
  }
  expect_failures = [var.zones]
}

run "seventeen_zones" {
  command = plan

  variables {
    zones = [for n in range(17) : "kr-${n}"]
  }
  expect_failures = [var.zones]
}

run "a_zone_twice" {
  command = plan

  variables {
    zones = ["kr-a", "kr-b", "kr-b"]
  }
  expect_failures = [var.zones]
}

run "a_cidr_that_is_none" {
  command = plan

  variables {
    cidr = "10.10.0.0"
  }
  expect_failures = [var.cidr]
}

run "a_cidr_inside_another" {
  command = plan

  variables {
    other_cidrs = { jp = "10.0.0.0/8" }
  }
  expect_failures = [var.cidr]
}

run "a_cidr_around_another" {
  command = plan

  variables {
    other_cidrs = { jp = "10.10.7.0/24" }
  }
  expect_failures = [var.cidr]
}

run "another_cidr_that_is_none" {
  command = plan

  variables {
    other_cidrs = { jp = "x" }
  }
  expect_failures = [var.other_cidrs]
}

run "fewer_than_three_servers" {
  command = plan

  variables {
    min_game_servers = 2
  }
  expect_failures = [var.min_game_servers]
}

run "half_a_server" {
  command = plan

  variables {
    min_game_servers = 3.5
  }
  expect_failures = [var.min_game_servers]
}

run "more_than_a_hundred_servers" {
  command = plan

  variables {
    max_game_servers = 101
  }
  expect_failures = [var.max_game_servers]
}

run "a_max_below_the_min" {
  command = plan

  variables {
    min_game_servers = 10
    max_game_servers = 9
  }
  expect_failures = [var.max_game_servers]
}

run "no_players_a_server" {
  command = plan

  variables {
    players_per_server = 0
  }
  expect_failures = [var.players_per_server]
}

run "a_latency_of_its_own" {
  command = plan

  variables {
    latency_ms = { kr = 1 }
  }
  expect_failures = [var.latency_ms]
}

run "a_latency_of_eleven_seconds" {
  command = plan

  variables {
    latency_ms = { jp = 11000 }
  }
  expect_failures = [var.latency_ms]
}

run "an_unknown_failover" {
  command = plan

  variables {
    failover = "Maybe"
  }
  expect_failures = [var.failover]
}

run "too_many_drains" {
  command = plan

  variables {
    drains = [for n in range(17) : "r${n}"]
  }
  expect_failures = [var.drains]
}

run "a_namespace_in_capitals" {
  command = plan

  variables {
    namespace = "Cranewing"
  }
  expect_failures = [var.namespace]
}

run "an_image_without_a_name" {
  command = plan

  variables {
    images = { operator = "", gameserver = "a" }
  }
  expect_failures = [var.images]
}

run "host_ports_that_end_before_they_begin" {
  command = plan

  variables {
    host_ports = "7999-7000"
  }
  expect_failures = [var.host_ports]
}

run "host_ports_below_1024" {
  command = plan

  variables {
    host_ports = "700-799"
  }
  expect_failures = [var.host_ports]
}

run "a_link_key_that_is_none" {
  command = plan

  variables {
    link_key = "secret"
  }
  expect_failures = [var.link_key]
}

run "an_unknown_type_of_service" {
  command = plan

  variables {
    link_service = { type = "ExternalName" }
  }
  expect_failures = [var.link_service]
}

run "a_node_port_that_is_none" {
  command = plan

  variables {
    link_service = { node_port = 70000 }
  }
  expect_failures = [var.link_service]
}

run "operator_values_that_are_no_object" {
  command = plan

  variables {
    operator_values = "[1]"
  }
  expect_failures = [var.operator_values]
}

run "game_servers_beside_the_operator" {
  command = plan

  variables {
    game_namespaces = { cranewing-system = {} }
  }
  expect_failures = [var.game_namespaces]
}

run "a_game_namespace_in_capitals" {
  command = plan

  variables {
    game_namespaces = { Games = {} }
  }
  expect_failures = [var.game_namespaces]
}

run "an_account_without_a_namespace" {
  command = plan

  variables {
    access = { viewers = { accounts = ["somebody"] } }
  }
  expect_failures = [var.access]
}

run "a_fleet_that_is_no_object" {
  command = plan

  variables {
    fleets = { duel = { spec = "3" } }
  }
  expect_failures = [var.fleets]
}

run "a_placed_fleet" {
  command = plan

  variables {
    fleets = { duel = { spec = "{home: kr, placement: {}, template: {}}" } }
  }
  expect_failures = [var.fleets]
}

run "replicas_beside_an_autoscaler" {
  command = plan

  variables {
    fleets = { duel = { spec = "{replicas: 3}", autoscaler = "{min: 3, max: 8, policies: []}" } }
  }
  expect_failures = [var.fleets]
}

run "an_autoscaler_whose_min_is_above_its_max" {
  command = plan

  variables {
    fleets = { duel = { spec = "{}", autoscaler = "{min: 9, max: 8, policies: []}" } }
  }
  expect_failures = [var.fleets]
}

run "a_fleet_in_a_namespace_that_is_not_there" {
  command = plan

  variables {
    fleets = { duel = { namespace = "elsewhere", spec = "{replicas: 3}" } }
  }
  expect_failures = [var.fleets]
}
