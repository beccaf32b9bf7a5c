# What a region consists of, as it is planned: the chart is really rendered.

mock_provider "kubectl" {}

provider "kustomization" {
  kubeconfig_raw = "{apiVersion: v1, kind: Config, clusters: [{name: a, cluster: {server: 'https://127.0.0.1:1'}}], contexts: [{name: a, context: {cluster: a}}], current-context: a}"
}

variables {
  region_id   = "kr"
  zones       = ["kr-a", "kr-b", "kr-c"]
  cidr        = "10.10.0.0/16"
  other_cidrs = { jp = "10.20.0.0/16", six = "fd00::/48" }
  images      = { operator = "cranewing/operator:1", gameserver = "cranewing/gameserver:1" }
  link_key    = ""
}

run "the_chart_is_applied_whole_with_the_values_of_the_variables" {
  command = plan

  variables {
    link_service    = { type = "NodePort", node_port = 30844 }
    operator_values = "{replicas: 3, responder: {port: 9444}, monitoring: {alerts: {enabled: true}}}"
  }
  assert {
    condition     = length(kubectl_manifest.operator) + 1 == length(output.manifests) && length(output.manifests) >= 15
    error_message = "all that the chart gives is applied"
  }
  assert {
    condition     = jsondecode(kubectl_manifest.deployment.yaml_body).spec.replicas == 3
    error_message = "more values count before the chart's own"
  }
  assert {
    condition     = jsondecode(output.manifests["_/Service/cranewing-system/cranewing-link"]).spec.ports[0].nodePort == 30844
    error_message = "the link has its port"
  }
  assert {
    condition     = jsondecode(output.manifests["apps/DaemonSet/cranewing-system/cranewing-responder"]).spec.template.spec.containers[0].ports[0].hostPort == 9444
    error_message = "values are merged two levels deep: responders are on, on another port"
  }
  assert {
    condition     = contains(keys(output.manifests), "admissionregistration.k8s.io/ValidatingAdmissionPolicy/_/cranewing-game-servers")
    error_message = "the admission policy is there"
  }
  assert {
    condition     = !anytrue([for id in keys(output.manifests) : startswith(id, "monitoring.coreos.com/")])
    error_message = "alerts are the module global's"
  }
  assert {
    condition     = length(kubectl_manifest.link_key) == 0
    error_message = "without a key there is no Secret for one"
  }
}

run "what_the_chart_has_for_game_namespaces_comes_after_them" {
  command = plan

  variables {
    operator_values = "{networkPolicy: {gameNamespaces: [games, elsewhere]}}"
  }
  assert {
    condition     = keys(kubectl_manifest.in_game_namespaces) == ["networking.k8s.io/NetworkPolicy/games/cranewing-game-servers"]
    error_message = "the policy of a namespace that is made here stands on it"
  }
  assert {
    condition     = contains(keys(kubectl_manifest.operator), "networking.k8s.io/NetworkPolicy/elsewhere/cranewing-game-servers")
    error_message = "that of a namespace which others made does not"
  }
  assert {
    condition     = length(kubectl_manifest.operator) + length(kubectl_manifest.in_game_namespaces) + 1 == length(output.manifests)
    error_message = "all that the chart gives is applied, and once"
  }
}

run "namespaces_are_removed_with_what_is_in_them" {
  command = plan

  assert {
    condition     = !kubectl_manifest.namespace.apply_only && !kubectl_manifest.game_namespaces["games"].apply_only
    error_message = "without a word they were made here"
  }
}

run "a_region_has_its_bounds_and_says_nothing_of_what_others_order" {
  command = plan

  variables {
    min_game_servers = 4
    max_game_servers = 50
  }
  assert {
    condition     = yamldecode(kubectl_manifest.region_cluster.yaml_body).spec.minGameServers == 4 && yamldecode(kubectl_manifest.region_cluster.yaml_body).spec.maxGameServers == 50
    error_message = "bounds are those of the variables"
  }
  assert {
    condition     = !can(yamldecode(kubectl_manifest.region_cluster.yaml_body).spec.drains)
    error_message = "drains are somebody else's while there are none"
  }
}

run "fleets_access_quotas_and_a_key_are_there_when_they_are_asked_for" {
  command = plan

  variables {
    link_key = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n-----END PRIVATE KEY-----\n"
    drains   = ["jp"]
    game_namespaces = {
      games = { takes_fleets_from = ["jp", "sg"] }
      tests = { quota = {} }
    }
    access = {
      viewers = { groups = ["everybody"] }
      on_call = { groups = ["on-call"], accounts = ["ops/robot"] }
    }
    fleets = {
      duel  = { spec = "{template: {spec: {capacity: 16}}}", autoscaler = "{min: 3, max: 8, policies: [{metric: player_count, upThreshold: 14, downThreshold: 8}]}" }
      quiet = { namespace = "tests", spec = "{replicas: 1, template: {}}" }
    }
  }
  assert {
    condition     = keys(kubectl_manifest.fleets) == ["duel", "quiet"] && keys(kubectl_manifest.autoscalers) == ["duel"]
    error_message = "each Fleet, and an AutoScaler where one is asked for"
  }
  assert {
    condition     = yamldecode(kubectl_manifest.autoscalers["duel"].yaml_body).spec.fleet == "duel"
    error_message = "an AutoScaler is of its Fleet"
  }
  assert {
    condition     = keys(kubectl_manifest.quotas) == ["games"] && yamldecode(kubectl_manifest.quotas["games"].yaml_body).spec.hard.pods == "200"
    error_message = "a quota where there is one"
  }
  assert {
    condition     = yamldecode(kubectl_manifest.game_namespaces["games"].yaml_body).metadata.annotations["cranewing.dev/takes-fleets-from"] == "jp,sg"
    error_message = "a namespace says whose Fleets it takes"
  }
  assert {
    condition     = keys(kubectl_manifest.roles) == ["games/viewers", "tests/viewers"] && length(kubectl_manifest.on_call_binding) == 1
    error_message = "roles are there for those whom somebody is among"
  }
  assert {
    condition     = length(kubectl_manifest.link_key) == 1
    error_message = "the key has its Secret"
  }
  assert {
    condition     = yamldecode(kubectl_manifest.region_cluster.yaml_body).spec.drains == ["jp"]
    error_message = "the region says that jp shall be left"
  }
  assert {
    condition     = contains(output.wait_for, "--namespace tests --for=condition=Ready fleets.cranewing.dev/quiet")
    error_message = "each Fleet has a condition to wait for"
  }
}

run "namespaces_that_others_made_are_never_removed" {
  command = plan

  variables {
    create_namespace = false
    game_namespaces  = { games = { create = false }, tests = {} }
  }
  assert {
    condition     = kubectl_manifest.namespace.apply_only && kubectl_manifest.game_namespaces["games"].apply_only
    error_message = "those that were there stay"
  }
  assert {
    condition     = !kubectl_manifest.game_namespaces["tests"].apply_only
    error_message = "what is made here goes"
  }
  assert {
    condition     = yamldecode(kubectl_manifest.game_namespaces["games"].yaml_body).metadata.labels["cranewing.dev/game-servers"] == "true"
    error_message = "one that was there is known as a game namespace"
  }
}

run "no_output_has_the_key" {
  command = plan

  variables {
    link_key = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n-----END PRIVATE KEY-----\n"
  }
  assert {
    condition     = strcontains(base64decode(yamldecode(kubectl_manifest.link_key[0].yaml_body).data["key.pem"]), "MC4CAQAwBQYDK2VwBCIEIA")
    error_message = "its Secret has it"
  }
  assert {
    condition = alltrue([
      for text in [var.link_key, base64encode(var.link_key), "MC4CAQAwBQYDK2VwBCIEIA"] :
      !strcontains(jsonencode([output.namespace, output.game_namespaces, output.endpoints, output.wait_for, output.manifests]), text)
    ])
    error_message = "no output has it"
  }
  assert {
    condition     = issensitive(var.link_key) && !anytrue([for part in [output.namespace, output.endpoints, output.wait_for, output.manifests] : issensitive(part)])
    error_message = "it is sensitive, and nothing that comes out is"
  }
}
