# The regions of production. Addresses, keys and images are examples: put yours in their place (README.md).

regions = {
  kr = {
    display_name = "Seoul"
    zones        = ["kr-a", "kr-b", "kr-c"]
    cidr         = "10.10.0.0/16"
    latency_ms   = { jp = 35, sg = 75 }
    link = {
      addresses   = ["link.kr.example:8444"]
      public_keys = ["MCowBQYDK2VwAyEAKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrI="]
    }
  }
  jp = {
    display_name = "Tokyo"
    zones        = ["jp-a", "jp-b", "jp-c"]
    cidr         = "10.20.0.0/16"
    latency_ms   = { kr = 35, sg = 70 }
    link = {
      addresses   = ["link.jp.example:8444"]
      public_keys = ["MCowBQYDK2VwAyEAJpJpJpJpJpJpJpJpJpJpJpJpJpJpJpJpJpJpJpJpJpI="]
    }
  }
  sg = {
    display_name = "Singapore"
    zones        = ["sg-a", "sg-b", "sg-c"]
    cidr         = "10.30.0.0/16"
    latency_ms   = { kr = 75, jp = 70 }
    link = {
      addresses   = ["link.sg.example:8444"]
      public_keys = ["MCowBQYDK2VwAyEASgSgSgSgSgSgSgSgSgSgSgSgSgSgSgSgSgSgSgSgSgI="]
    }
  }
}

placed_fleets = {
  arena = {
    spec       = <<-YAML
      home: jp
      placement: { mode: FollowPlayers }
      template:
        spec:
          capacity: 100
          drain: { deadlineSeconds: 900 }
          template:
            spec:
              containers:
                - name: gameserver
                  resources:
                    requests: { cpu: 250m, memory: 64Mi }
                    limits: { memory: 256Mi }
    YAML
    autoscaler = <<-YAML
      min: 9
      max: 90
      policies: [{ metric: player_count, upThreshold: 70, downThreshold: 30 }]
    YAML
  }
}

images = {
  operator   = "registry.example/cranewing/operator:0.1.0"
  gameserver = "registry.example/cranewing/gameserver:0.1.0"
}

# rules: where the Prometheus Operator is
alerting = { rules = false, dashboards = true }
