# The map of regions as a whole; no workspace of a region is chosen, so nothing is planned in any cluster.

mock_provider "kubectl" {}
mock_provider "kustomization" {}

variables {
  link_key = ""
  regions = {
    kr = { zones = ["a", "b", "c"], cidr = "10.10.0.0/16", link = { addresses = ["a:1"], public_keys = ["x"] } }
    jp = { zones = ["a", "b", "c"], cidr = "10.20.0.0/16", link = { addresses = ["b:1"], public_keys = ["y"] } }
    us = { zones = ["a", "b", "c"], cidr = "fd00::/48", link = { addresses = ["c:1"], public_keys = ["z"] } }
  }
}

run "regions_apart_from_each_other_are_taken" {
  command = plan

  assert {
    condition     = length(module.region) == 0 && length(terraform_data.guard) == 0
    error_message = "without a workspace of a region nothing is planned"
  }
}

run "two_regions_that_overlap" {
  command = plan

  variables {
    regions = {
      kr = { zones = ["a", "b", "c"], cidr = "10.10.0.0/16", link = { addresses = ["a:1"], public_keys = ["x"] } }
      jp = { zones = ["a", "b", "c"], cidr = "10.10.128.0/17", link = { addresses = ["b:1"], public_keys = ["y"] } }
    }
  }
  expect_failures = [var.regions]
}

run "a_region_without_an_address_range" {
  command = plan

  variables {
    regions = {
      kr = { zones = ["a", "b", "c"], cidr = "10.10.0.0", link = { addresses = ["a:1"], public_keys = ["x"] } }
      jp = { zones = ["a", "b", "c"], cidr = "10.20.0.0/16", link = { addresses = ["b:1"], public_keys = ["y"] } }
    }
  }
  expect_failures = [var.regions]
}

run "a_quota_of_no_game_namespace" {
  command = plan

  variables {
    regions = {
      kr = { zones = ["a", "b", "c"], cidr = "10.10.0.0/16", quotas = { elsewhere = { pods = "10" } }, link = { addresses = ["a:1"], public_keys = ["x"] } }
    }
  }
  expect_failures = [var.regions]
}

run "a_fleet_that_is_called_like_a_share" {
  command = plan

  variables {
    placed_fleets = { arena = { spec = "{home: jp, placement: {}}" } }
    regions = {
      kr = { zones = ["a", "b", "c"], cidr = "10.10.0.0/16", fleets = { arena-kr = { spec = "{}" } }, link = { addresses = ["a:1"], public_keys = ["x"] } }
      jp = { zones = ["a", "b", "c"], cidr = "10.20.0.0/16", link = { addresses = ["b:1"], public_keys = ["y"] } }
    }
  }
  expect_failures = [var.regions]
}

run "a_fleet_that_is_called_like_the_share_of_another_region" {
  command = plan

  variables {
    placed_fleets = { arena = { spec = "{home: jp, placement: {}}" } }
    regions = {
      kr = { zones = ["a", "b", "c"], cidr = "10.10.0.0/16", fleets = { arena-jp = { spec = "{}" } }, link = { addresses = ["a:1"], public_keys = ["x"] } }
      jp = { zones = ["a", "b", "c"], cidr = "10.20.0.0/16", link = { addresses = ["b:1"], public_keys = ["y"] } }
    }
  }
  assert {
    condition     = length(module.region) == 0
    error_message = "it is taken: shares of other regions are not here"
  }
}
