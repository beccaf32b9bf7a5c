# The regions of staging: the same code as production (main.tf and the others are links to it), with fewer and smaller servers, a Fleet of
# each region's own, and regions that may be removed at any time. Addresses, keys and images are examples.

regions = {
  kr = {
    display_name     = "Seoul, staging"
    zones            = ["kr-a", "kr-b", "kr-c"]
    cidr             = "10.110.0.0/16"
    max_game_servers = 10
    latency_ms       = { jp = 35, sg = 75 }
    link = {
      addresses   = ["link.kr.staging.example:8444"]
      public_keys = ["MCowBQYDK2VwAyEAKsKsKsKsKsKsKsKsKsKsKsKsKsKsKsKsKsKsKsKsKsI="]
    }
    fleets = {
      duel = {
        spec       = <<-YAML
          template: { spec: { capacity: 16, drain: { deadlineSeconds: 30 } } }
        YAML
        autoscaler = <<-YAML
          min: 1
          max: 4
          policies: [{ metric: player_count, upThreshold: 12, downThreshold: 4 }]
        YAML
      }
    }
  }
  jp = {
    display_name     = "Tokyo, staging"
    zones            = ["jp-a", "jp-b", "jp-c"]
    cidr             = "10.120.0.0/16"
    max_game_servers = 10
    latency_ms       = { kr = 35, sg = 70 }
    link = {
      addresses   = ["link.jp.staging.example:8444"]
      public_keys = ["MCowBQYDK2VwAyEAJsJsJsJsJsJsJsJsJsJsJsJsJsJsJsJsJsJsJsJsJsI="]
    }
  }
  sg = {
    display_name     = "Singapore, staging"
    zones            = ["sg-a", "sg-b", "sg-c"]
    cidr             = "10.130.0.0/16"
    max_game_servers = 10
    latency_ms       = { kr = 75, jp = 70 }
    link = {
      addresses   = ["link.sg.staging.example:8444"]
      public_keys = ["MCowBQYDK2VwAyEASsSsSsSsSsSsSsSsSsSsSsSsSsSsSsSsSsSsSsSsSsI="]
    }
  }
}

placed_fleets = {
  arena = {
    spec = <<-YAML
      home: jp
      replicas: 9
      placement: {}
      template: { spec: { capacity: 100, drain: { deadlineSeconds: 30 } } }
    YAML
  }
}

images = {
  operator   = "registry.example/cranewing/operator:0.1.0"
  gameserver = "registry.example/cranewing/gameserver:0.1.0"
}

guard = false
