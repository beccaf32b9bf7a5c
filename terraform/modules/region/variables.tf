variable "region_id" {
  description = "Short name of the region, such as `kr`: 1 to 8 lower case letters and digits, beginning with a letter."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9]{0,7}$", var.region_id))
    error_message = "region_id: 1 to 8 lower case letters and digits, beginning with a letter, such as kr."
  }
}

variable "display_name" {
  description = "Name for people, such as `Seoul`. At most 64 characters."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = length(var.display_name) <= 64
    error_message = "display_name: at most 64 characters."
  }
}

variable "zones" {
  description = "Availability zones, as nodes carry them in `topology.kubernetes.io/zone`. At least 3, at most 16, no repeats."
  type        = list(string)
  nullable    = false

  validation {
    condition     = length(var.zones) >= 3 && length(var.zones) <= 16
    error_message = "zones: at least 3, so that a region outlives the loss of one, and at most 16."
  }
  validation {
    condition     = length(distinct(var.zones)) == length(var.zones)
    error_message = "zones: must not repeat."
  }
  validation {
    condition     = alltrue([for zone in var.zones : can(regex("^[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$", zone))])
    error_message = "zones: each as the label of a node has it: 1 to 63 letters, digits, dashes, dots and underscores, such as kr-a."
  }
}

variable "cidr" {
  description = "Address range of the region's network, such as `10.10.0.0/16`."
  type        = string
  nullable    = false

  validation {
    condition     = can(cidrhost(var.cidr, 0))
    error_message = "cidr: must be an address range in CIDR form, such as 10.10.0.0/16."
  }
  validation {
    # cut to the shorter prefix of the two, two ranges are the same if one holds the other
    condition = alltrue([
      for other in values(var.other_cidrs) : !can(cidrhost(var.cidr, 0)) || (
        cidrhost("${split("/", var.cidr)[0]}/${min(split("/", var.cidr)[1], split("/", other)[1])}", 0) !=
        cidrhost("${split("/", other)[0]}/${min(split("/", var.cidr)[1], split("/", other)[1])}", 0)
      )
    ])
    error_message = "cidr: must not overlap a region of other_cidrs."
  }
}

variable "other_cidrs" {
  description = "Address ranges of the other regions, by regionId; `cidr` must not overlap one of them."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for cidr in values(var.other_cidrs) : can(cidrhost(cidr, 0))])
    error_message = "other_cidrs: each must be an address range in CIDR form, such as 10.20.0.0/16."
  }
}

variable "min_game_servers" {
  description = "Fewest game servers in the region, of all placed Fleets together if there are some. 3 to max_game_servers."
  type        = number
  default     = 3
  nullable    = false

  validation {
    condition     = var.min_game_servers >= 3 && floor(var.min_game_servers) == var.min_game_servers
    error_message = "min_game_servers: a whole number from 3, so that each zone can have one."
  }
}

variable "max_game_servers" {
  description = "Most game servers in the region, of all placed Fleets together. min_game_servers to 100."
  type        = number
  default     = 100
  nullable    = false

  validation {
    condition     = var.max_game_servers <= 100 && floor(var.max_game_servers) == var.max_game_servers
    error_message = "max_game_servers: a whole number up to 100."
  }
  validation {
    condition     = var.max_game_servers >= var.min_game_servers
    error_message = "max_game_servers: must not be below min_game_servers."
  }
}

variable "players_per_server" {
  description = "Players that a game server of the region is reckoned to take. 1 to 10000."
  type        = number
  default     = 1000
  nullable    = false

  validation {
    condition     = var.players_per_server >= 1 && var.players_per_server <= 10000 && floor(var.players_per_server) == var.players_per_server
    error_message = "players_per_server: a whole number from 1 to 10000."
  }
}

variable "latency_ms" {
  description = "Declared round trip to other regions by regionId, in whole milliseconds. 0 to 10000 each, at most 64. An alert goes by it."
  type        = map(number)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for latency in values(var.latency_ms) : latency >= 0 && latency <= 10000 && floor(latency) == latency])
    error_message = "latency_ms: whole milliseconds from 0 to 10000."
  }
  validation {
    condition     = length(var.latency_ms) <= 64 && alltrue([for id in keys(var.latency_ms) : can(regex("^[a-z][a-z0-9]{0,7}$", id))])
    error_message = "latency_ms: at most 64 regions, each by its regionId, such as jp."
  }
  validation {
    condition     = !contains(keys(var.latency_ms), var.region_id)
    error_message = "latency_ms: must not name the region itself."
  }
}

variable "failover" {
  description = "What follows when the region is lost: Automatic, Manual or Hold."
  type        = string
  default     = "Automatic"
  nullable    = false

  validation {
    condition     = contains(["Automatic", "Manual", "Hold"], var.failover)
    error_message = "failover: Automatic, Manual or Hold."
  }
}

variable "drains" {
  description = <<-TEXT
    Regions that this one says shall be left, by regionId; counts when a majority says so. Without one the field is left to
    `operator region drain`.
  TEXT
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = length(var.drains) <= 16
    error_message = "drains: at most 16."
  }
  validation {
    condition     = alltrue([for id in var.drains : can(regex("^[a-z][a-z0-9]{0,7}$", id))])
    error_message = "drains: each is a regionId, such as jp."
  }
}

variable "namespace" {
  description = "Namespace of the operator. It is made, and removed with everything in it, unless create_namespace says otherwise."
  type        = string
  default     = "cranewing-system"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", var.namespace))
    error_message = "namespace: lower case letters, digits and dashes, at most 63."
  }
}

variable "create_namespace" {
  description = <<-TEXT
    Whether the operator's namespace is made, and removed with everything in it. `false` for one that others made: it gets the label that
    PodSecurity asks for, and stays when the region goes, with that label and what the operator wrote there.
  TEXT
  type        = bool
  default     = true
  nullable    = false
}

variable "images" {
  description = "Images of the operator, and of game servers whose template names none."
  type = object({
    operator   = string
    gameserver = string
  })
  nullable = false

  validation {
    condition     = alltrue([for image in values(var.images) : can(regex("^\\S+$", image))])
    error_message = "images: each must be the name of an image."
  }
}

variable "host_ports" {
  description = "Host ports that game servers get, both ends included. Open them for UDP in the firewall of the nodes."
  type        = string
  default     = "7000-7999"
  nullable    = false

  validation {
    condition = can(regex("^[0-9]{1,5}-[0-9]{1,5}$", var.host_ports)) && try(
      tonumber(split("-", var.host_ports)[0]) >= 1024 &&
      tonumber(split("-", var.host_ports)[0]) <= tonumber(split("-", var.host_ports)[1]) &&
      tonumber(split("-", var.host_ports)[1]) <= 65535,
    false)
    error_message = "host_ports: two ports from 1024 to 65535 with a dash between them, the lower one first, such as 7000-7999."
  }
  validation {
    condition = try(
      tonumber(split("-", var.host_ports)[0]) > try(yamldecode(var.operator_values).responder.port, 8444) ||
      tonumber(split("-", var.host_ports)[1]) < try(yamldecode(var.operator_values).responder.port, 8444),
    true)
    error_message = "host_ports: must not hold the responders' port: 8444, or responder.port of operator_values. Choose another range, or another port there."
  }
  validation {
    condition = try(
      tonumber(split("-", var.host_ports)[0]) > var.link_service.node_port ||
      tonumber(split("-", var.host_ports)[1]) < var.link_service.node_port,
    true)
    error_message = "host_ports: must not hold node_port of link_service, which every node has. Choose another range."
  }
}

variable "link_key" {
  description = <<-TEXT
    Private key by which this region's operators prove themselves to other regions: Ed25519, PEM (`openssl genpkey -algorithm
    ed25519`). It stands in the state. Empty: the operator makes a key of its own, and nobody else has it.
  TEXT
  type        = string
  sensitive   = true
  nullable    = false

  validation {
    # PKCS#8 of an Ed25519 key always begins alike: as openssl writes it, or with the public key behind it as an operator does
    condition     = var.link_key == "" || can(regex("^-----BEGIN PRIVATE KEY-----\\nM(C4CAQA|F[EM]CAQE)wBQYDK2VwBCIEI[A-Za-z0-9+/=\\n]+-----END PRIVATE KEY-----\\n?$", var.link_key))
    error_message = "link_key: an Ed25519 private key in PEM form (openssl genpkey -algorithm ed25519), or nothing. RSA and other kinds are not taken."
  }
}

variable "link_service" {
  description = "How other regions reach the operator's links: type LoadBalancer, NodePort or ClusterIP, port on the nodes (30000 to 32767, or 0: the cluster chooses), annotations."
  type = object({
    type        = optional(string, "LoadBalancer")
    node_port   = optional(number, 0)
    annotations = optional(map(string), {})
  })
  default  = {}
  nullable = false

  validation {
    condition     = contains(["LoadBalancer", "NodePort", "ClusterIP"], var.link_service.type)
    error_message = "link_service: type LoadBalancer, NodePort or ClusterIP."
  }
  validation {
    condition     = var.link_service.node_port == 0 || (var.link_service.node_port >= 30000 && var.link_service.node_port <= 32767 && floor(var.link_service.node_port) == var.link_service.node_port)
    error_message = "link_service: node_port from 30000 to 32767, or 0: the cluster chooses one. Where its range is another, leave it 0 and say link.service in operator_values."
  }
  validation {
    condition     = var.link_service.node_port == 0 || var.link_service.type != "ClusterIP"
    error_message = "link_service: node_port is for type NodePort or LoadBalancer; leave it out with ClusterIP."
  }
}

variable "operator_values" {
  description = "More values of charts/operator, as YAML; they count before those that come from other variables, two levels deep."
  type        = string
  default     = "{}"
  nullable    = false

  validation {
    condition     = can(keys(yamldecode(var.operator_values)))
    error_message = "operator_values: must be a YAML object."
  }
}

variable "game_namespaces" {
  description = <<-TEXT
    Namespaces for game servers, by name. `takes_fleets_from`: regions whose placed Fleets may run there, by regionId, or `*`.
    `create`: `false` for one that others made, as create_namespace says. `quota`: what a ResourceQuota allows there. The default, twice as many pods as a region may have game servers, leaves room
    for a change of all templates at once.
  TEXT
  type = map(object({
    create            = optional(bool, true)
    takes_fleets_from = optional(list(string), [])
    quota = optional(map(string), {
      "pods"                   = "200"
      "services.loadbalancers" = "0"
      "services.nodeports"     = "0"
    })
  }))
  default  = { games = {} }
  nullable = false

  validation {
    condition     = alltrue([for name in keys(var.game_namespaces) : can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", name))])
    error_message = "game_namespaces: names are lower case letters, digits and dashes, at most 63."
  }
  validation {
    condition     = !contains(keys(var.game_namespaces), var.namespace)
    error_message = "game_namespaces: game servers do not run in the namespace of the operator."
  }
  validation {
    condition = alltrue(flatten([
      for namespace in values(var.game_namespaces) : [for id in namespace.takes_fleets_from : can(regex("^([a-z][a-z0-9]{0,7}|\\*)$", id))]
    ]))
    error_message = "game_namespaces: takes_fleets_from has regionIds, such as jp, or *."
  }
  validation {
    condition = alltrue(flatten([
      for namespace in values(var.game_namespaces) : [for much in values(namespace.quota) : can(regex("^[0-9]+(\\.[0-9]+)?(m|k|[MGTPE]i?|Ki)?$", much))]
    ]))
    error_message = "game_namespaces: each limit of a quota is a quantity of Kubernetes, such as 200, 500m or 64Gi."
  }
}

variable "access" {
  description = <<-TEXT
    Who may do what in the game namespaces, as groups and as service accounts (`namespace/name`). `deployers` change Fleets and
    AutoScalers, `matchmakers` ask for game servers and see them, `viewers` see all kinds. `on_call` orders regions to be drained.
  TEXT
  type = object({
    deployers   = optional(object({ groups = optional(list(string), []), accounts = optional(list(string), []) }), {})
    matchmakers = optional(object({ groups = optional(list(string), []), accounts = optional(list(string), []) }), {})
    viewers     = optional(object({ groups = optional(list(string), []), accounts = optional(list(string), []) }), {})
    on_call     = optional(object({ groups = optional(list(string), []), accounts = optional(list(string), []) }), {})
  })
  default  = {}
  nullable = false

  validation {
    condition = alltrue(flatten([
      for who in values(var.access) : [for account in who.accounts : can(regex("^[^/]+/[^/]+$", account))]
    ]))
    error_message = "access: an account is namespace/name."
  }
}

variable "fleets" {
  description = <<-TEXT
    Fleets of this region alone, by name: their namespace (one of game_namespaces), their spec as YAML, and the spec of an AutoScaler
    without its `fleet`. With an AutoScaler leave `replicas` out. Every field: docs/crds.md.
  TEXT
  type = map(object({
    namespace  = optional(string, "games")
    spec       = string
    autoscaler = optional(string)
  }))
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for name in keys(var.fleets) : can(regex("^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$", name))])
    error_message = "fleets: names have at most 40 lower case letters, digits and dashes, and no dash at either end; names of game servers add to them."
  }
  validation {
    condition     = alltrue([for fleet in values(var.fleets) : can(keys(yamldecode(fleet.spec)))])
    error_message = "fleets: each spec must be a YAML object."
  }
  validation {
    condition     = alltrue([for fleet in values(var.fleets) : !can(yamldecode(fleet.spec).placement)])
    error_message = "fleets: one with placement is of all regions; it belongs to the module global."
  }
  validation {
    condition     = alltrue([for fleet in values(var.fleets) : fleet.autoscaler == null || !can(yamldecode(fleet.spec).replicas)])
    error_message = "fleets: replicas is the AutoScaler's where there is one; leave it out."
  }
  validation {
    condition = alltrue([
      for fleet in values(var.fleets) : fleet.autoscaler == null ||
      try(yamldecode(fleet.autoscaler).min <= yamldecode(fleet.autoscaler).max && yamldecode(fleet.autoscaler).max <= 100, false)
    ])
    error_message = "fleets: an AutoScaler has min and max, min is not above max, and max at most 100."
  }
  validation {
    condition = alltrue(flatten([
      for fleet in values(var.fleets) : [
        for bound in ["min", "max"] : try(yamldecode(fleet.autoscaler)[bound] >= 0 && floor(yamldecode(fleet.autoscaler)[bound]) == yamldecode(fleet.autoscaler)[bound], true)
      ]
    ]))
    error_message = "fleets: min and max of an AutoScaler are whole numbers from 0."
  }
  validation {
    condition     = alltrue([for fleet in values(var.fleets) : contains(keys(var.game_namespaces), fleet.namespace)])
    error_message = "fleets: a namespace is not among game_namespaces."
  }
}
