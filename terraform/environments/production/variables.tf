variable "regions" {
  description = <<-TEXT
    All regions, by regionId; fields as in the modules region and global. `drained`: nobody is placed there any more, and the others
    take over its shares; set it, apply in all regions, and wait until it is empty, before an entry is removed. `link.public_keys` is of the region's
    link_key. `host_ports`: which ports of its nodes game servers get. `quotas`: by game namespace, what a ResourceQuota allows in this region,
    in place of what game_namespaces says. `fleets`: Fleets of that region alone.
  TEXT
  type = map(object({
    display_name       = optional(string, "")
    zones              = list(string)
    cidr               = string
    min_game_servers   = optional(number, 3)
    max_game_servers   = optional(number, 100)
    players_per_server = optional(number, 1000)
    latency_ms         = optional(map(number), {})
    failover           = optional(string, "Automatic")
    drained            = optional(bool, false)
    host_ports         = optional(string, "7000-7999")
    quotas             = optional(map(map(string)), {})
    link = object({
      addresses   = list(string)
      public_keys = list(string)
      responders  = optional(list(string), [])
    })
    link_service = optional(object({
      type        = optional(string, "LoadBalancer")
      node_port   = optional(number, 0)
      annotations = optional(map(string), {})
    }), {})
    fleets = optional(map(object({
      namespace  = optional(string, "games")
      spec       = string
      autoscaler = optional(string)
    })), {})
  }))
  nullable = false

  validation {
    # of each pair, cut to the shorter prefix; in every region's state, whichever of the two is new
    condition = alltrue(flatten([
      for a, first in var.regions : [
        for b, second in var.regions : a == b || try(
          cidrhost("${split("/", first.cidr)[0]}/${min(split("/", first.cidr)[1], split("/", second.cidr)[1])}", 0) !=
          cidrhost("${split("/", second.cidr)[0]}/${min(split("/", first.cidr)[1], split("/", second.cidr)[1])}", 0),
        false)
      ]
    ]))
    error_message = "regions: each cidr must be an address range in CIDR form, and no two may overlap."
  }
  validation {
    condition     = alltrue(flatten([for region in values(var.regions) : [for name in keys(region.quotas) : contains(keys(var.game_namespaces), name)]]))
    error_message = "regions: quotas are by game namespace, and one of these is not among game_namespaces."
  }
  validation {
    condition = length(setintersection(
      flatten([for id, region in var.regions : [for name, fleet in region.fleets : "${id} ${fleet.namespace}/${name}"]]),
      flatten([for id in keys(var.regions) : [for name, fleet in var.placed_fleets : "${id} ${fleet.namespace}/${name}-${id}"]]),
    )) == 0
    error_message = "regions: one of its fleets is called like its share of a placed Fleet, `<name>-<regionId>`. Give it another name."
  }
}

variable "namespace" {
  description = "Namespace of the operator, in all regions."
  type        = string
  default     = "cranewing-system"
  nullable    = false
}

variable "create_namespace" {
  description = "Whether the operator's namespace is made, and removed with everything in it; as in the module region."
  type        = bool
  default     = true
  nullable    = false
}

variable "game_namespaces" {
  description = <<-TEXT
    Namespaces for game servers, by name, in all regions; as in the module region. Without `takes_fleets_from` one takes the placed Fleets of
    every region in the map.
  TEXT
  type = map(object({
    create            = optional(bool, true)
    takes_fleets_from = optional(list(string))
    quota             = optional(map(string))
  }))
  default  = { games = {} }
  nullable = false
}

variable "placed_fleets" {
  description = "Fleets of all regions, by name: namespace, spec as YAML with `home` and `placement`, and an AutoScaler's spec."
  type = map(object({
    namespace  = optional(string, "games")
    spec       = string
    autoscaler = optional(string)
  }))
  default  = {}
  nullable = false
}

variable "images" {
  description = "Images of the operator and of game servers, in a registry that the clusters reach."
  type = object({
    operator   = string
    gameserver = string
  })
  nullable = false
}

variable "link_key" {
  description = "Private key of this workspace's region (TF_VAR_link_key), or nothing: the operator makes one. It has no default, so that it is never forgotten."
  type        = string
  sensitive   = true
  nullable    = false
}

variable "kubeconfig" {
  description = "Path of a kubeconfig."
  type        = string
  default     = "~/.kube/config"
  nullable    = false
}

variable "context" {
  description = "Context of this workspace's region, where it is not called like the region."
  type        = string
  default     = null
}

variable "access" {
  description = "Who may do what in the game namespaces; as in the module region."
  type = object({
    deployers   = optional(object({ groups = optional(list(string), []), accounts = optional(list(string), []) }), {})
    matchmakers = optional(object({ groups = optional(list(string), []), accounts = optional(list(string), []) }), {})
    viewers     = optional(object({ groups = optional(list(string), []), accounts = optional(list(string), []) }), {})
    on_call     = optional(object({ groups = optional(list(string), []), accounts = optional(list(string), []) }), {})
  })
  default  = {}
  nullable = false
}

variable "alerting" {
  description = "Alerts and dashboard; as in the module global."
  type = object({
    rules        = optional(bool, false)
    dashboards   = optional(bool, false)
    labels       = optional(map(string), {})
    alert_labels = optional(map(string), {})
    runbooks     = optional(string, "docs/runbooks")
  })
  default  = {}
  nullable = false
}

variable "operator_values" {
  description = "More values of charts/operator for all regions, as YAML."
  type        = string
  default     = "{}"
  nullable    = false
}

variable "guard" {
  description = "Refuse to remove a region whose cluster says that it is not drained: by its condition Drained, servers of placed Fleets, players."
  type        = bool
  default     = true
  nullable    = false
}
