contexts = { kr = "kr", jp = "jp" }

regions = {
  kr = {
    zones = ["kr-a", "kr-b", "kr-c"]
    cidr  = "10.10.0.0/16"
    link  = { addresses = ["link.kr.example:8444"], public_keys = ["MCowBQYDK2VwAyEAKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrKrI="] }
  }
  jp = {
    zones = ["jp-a", "jp-b", "jp-c"]
    cidr  = "10.20.0.0/16"
    link  = { addresses = ["link.jp.example:8444"], public_keys = ["MCowBQYDK2VwAyEAJpJpJpJpJpJpJpJpJpJpJpJpJpJpJpJpJpJpJpJpJpI="] }
  }
}

images = {
  operator   = "registry.example/cranewing/operator:0.1.0"
  gameserver = "registry.example/cranewing/gameserver:0.1.0"
}
