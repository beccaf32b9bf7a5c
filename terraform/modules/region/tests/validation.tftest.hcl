# What the variables refuse: each run that fails has one value that is wrong, by one rule, and is else as the first.

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

run "values_at_their_bounds_are_taken" {
  command = plan

  variables {
    region_id          = "koreawes"
    display_name       = join("", [for n in range(64) : "x"])
    zones              = [for n in range(16) : "kr-${n}"]
    other_cidrs        = { jp = "10.11.0.0/16" }
    min_game_servers   = 100
    players_per_server = 10000
    latency_ms         = { jp = 0, sg = 10000 }
    drains             = [for n in range(16) : "r${n}"]
    host_ports         = "8445-65535"
    link_key           = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n-----END PRIVATE KEY-----"
    link_service       = { type = "LoadBalancer" }
    game_namespaces    = { games = { takes_fleets_from = ["*"], quota = { "pods" = "0", "limits.memory" = "1.5Gi", "limits.cpu" = "500m" } } }
    fleets = {
      "3v3"                                = { spec = "{}", autoscaler = "{min: 0, max: 100, policies: []}" }
      join("", [for n in range(40) : "x"]) = { spec = "{replicas: 0}" }
    }
  }
}

run "a_key_as_an_operator_makes_it_and_the_lowest_node_port_are_taken" {
  command = plan

  variables {
    link_key     = "-----BEGIN PRIVATE KEY-----\nMFECAQEwBQYDK2VwBCIEIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\ngSEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n-----END PRIVATE KEY-----\n"
    link_service = { type = "NodePort", node_port = 30000 }
  }
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

run "a_zone_without_a_name" {
  command = plan

  variables {
    zones = ["kr-a", "kr-b", ""]
  }
  expect_failures = [var.zones]
}

run "a_zone_that_no_label_can_name" {
  command = plan

  variables {
    zones = ["kr-a", "kr-b", "kr c"]
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

run "half_a_server_at_most" {
  command = plan

  variables {
    max_game_servers = 9.5
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

run "half_a_player_a_server" {
  command = plan

  variables {
    players_per_server = 10.5
  }
  expect_failures = [var.players_per_server]
}

run "ten_thousand_and_one_players_a_server" {
  command = plan

  variables {
    players_per_server = 10001
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

run "a_latency_below_nothing" {
  command = plan

  variables {
    latency_ms = { jp = -1 }
  }
  expect_failures = [var.latency_ms]
}

run "half_a_millisecond" {
  command = plan

  variables {
    latency_ms = { jp = 0.5 }
  }
  expect_failures = [var.latency_ms]
}

run "a_latency_to_no_region" {
  command = plan

  variables {
    latency_ms = { Tokyo = 35 }
  }
  expect_failures = [var.latency_ms]
}

run "latencies_to_sixty_five_regions" {
  command = plan

  variables {
    latency_ms = { for n in range(65) : "r${n}" => 35 }
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

run "a_drain_of_no_region" {
  command = plan

  variables {
    drains = ["Tokyo"]
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

run "a_namespace_of_sixty_four_letters" {
  command = plan

  variables {
    namespace = join("", [for n in range(64) : "x"])
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

run "host_ports_above_65535" {
  command = plan

  variables {
    host_ports = "65000-66000"
  }
  expect_failures = [var.host_ports]
}

run "three_host_ports" {
  command = plan

  variables {
    host_ports = "7000-7999-8999"
  }
  expect_failures = [var.host_ports]
}

run "one_host_port" {
  command = plan

  variables {
    host_ports = "7000"
  }
  expect_failures = [var.host_ports]
}

run "host_ports_that_hold_the_responders" {
  command = plan

  variables {
    host_ports = "8000-8999"
  }
  expect_failures = [var.host_ports]
}

run "host_ports_that_hold_the_responders_on_another_port" {
  command = plan

  variables {
    operator_values = "{responder: {port: 7500}}"
  }
  expect_failures = [var.host_ports]
}

run "host_ports_that_hold_the_links" {
  command = plan

  variables {
    host_ports   = "30000-31000"
    link_service = { type = "NodePort", node_port = 30844 }
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

run "a_link_key_of_another_kind" {
  command = plan

  variables {
    link_key = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7\n-----END PRIVATE KEY-----\n"
  }
  expect_failures = [var.link_key]
}

run "a_link_key_that_is_cut_off" {
  command = plan

  variables {
    link_key = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"
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

run "a_node_port_below_the_range" {
  command = plan

  variables {
    link_service = { type = "NodePort", node_port = 8444 }
  }
  expect_failures = [var.link_service]
}

run "half_a_node_port" {
  command = plan

  variables {
    link_service = { type = "NodePort", node_port = 30844.5 }
  }
  expect_failures = [var.link_service]
}

run "a_node_port_without_a_port_on_the_nodes" {
  command = plan

  variables {
    link_service = { type = "ClusterIP", node_port = 30844 }
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

run "fleets_from_no_region" {
  command = plan

  variables {
    game_namespaces = { games = { takes_fleets_from = ["Tokyo"] } }
  }
  expect_failures = [var.game_namespaces]
}

run "a_quota_that_is_no_quantity" {
  command = plan

  variables {
    game_namespaces = { games = { quota = { pods = "many" } } }
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

run "a_fleet_in_capitals" {
  command = plan

  variables {
    fleets = { Duel = { spec = "{}" } }
  }
  expect_failures = [var.fleets]
}

run "a_fleet_of_forty_one_letters" {
  command = plan

  variables {
    fleets = { join("", [for n in range(41) : "x"]) = { spec = "{}" } }
  }
  expect_failures = [var.fleets]
}

run "a_fleet_that_ends_with_a_dash" {
  command = plan

  variables {
    fleets = { duel- = { spec = "{}" } }
  }
  expect_failures = [var.fleets]
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

run "an_autoscaler_above_a_hundred" {
  command = plan

  variables {
    fleets = { duel = { spec = "{}", autoscaler = "{min: 1, max: 101, policies: []}" } }
  }
  expect_failures = [var.fleets]
}

run "an_autoscaler_below_nothing" {
  command = plan

  variables {
    fleets = { duel = { spec = "{}", autoscaler = "{min: -1, max: 8, policies: []}" } }
  }
  expect_failures = [var.fleets]
}

run "an_autoscaler_with_half_a_server" {
  command = plan

  variables {
    fleets = { duel = { spec = "{}", autoscaler = "{min: 0.5, max: 8, policies: []}" } }
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
