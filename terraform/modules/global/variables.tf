variable "region_id" {
  description = "The region whose cluster this is applied to, by regionId; one of `regions`."
  type        = string
  nullable    = false

  validation {
    condition     = contains(keys(var.regions), var.region_id)
    error_message = "region_id: must be one of regions."
  }
}

variable "namespace" {
  description = "Namespace of the operator: output `namespace` of the module region, so that this is applied after it."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", var.namespace))
    error_message = "namespace: lower case letters, digits and dashes, at most 63."
  }
}

variable "game_namespaces" {
  description = "Namespaces for game servers: output `game_namespaces` of the module region, so that this is applied after it."
  type        = list(string)
  nullable    = false
}

variable "regions" {
  description = <<-TEXT
    All regions, by regionId: the same map in every region's state. `addresses`: up to 8 of `host:port` where the region's links are
    reached, dialled in turn. `public_keys`: one or two keys, DER in base64; two while a region's key is changed. `responders`:
    up to 8 of `address:port` that answer probes, in place of those that the region names itself.
  TEXT
  type = map(object({
    addresses   = list(string)
    public_keys = list(string)
    responders  = optional(list(string), [])
  }))
  nullable = false

  validation {
    condition     = length(var.regions) <= 64 && alltrue([for id in keys(var.regions) : can(regex("^[a-z][a-z0-9]{0,7}$", id))])
    error_message = "regions: at most 64, each named by 1 to 8 lower case letters and digits, beginning with a letter."
  }
  validation {
    condition = alltrue(flatten([
      for region in values(var.regions) : [
        length(region.addresses) >= 1 && length(region.addresses) <= 8,
        [for address in region.addresses : can(regex("^(\\[[0-9a-fA-F:.]+\\]|[A-Za-z0-9.-]+):[0-9]{1,5}$", address))],
      ]
    ]))
    error_message = "regions: each has 1 to 8 addresses of the form host:port, such as link.jp.example:8444 or [fd00::1]:8444."
  }
  validation {
    # of what has that form
    condition = alltrue(flatten([
      for region in values(var.regions) : [
        for address in concat(region.addresses, region.responders) :
        !can(regex(":[0-9]{1,5}$", address)) || try(tonumber(regex("[0-9]+$", address)) >= 1 && tonumber(regex("[0-9]+$", address)) <= 65535, false)
      ]
    ]))
    error_message = "regions: ports of addresses and responders are from 1 to 65535."
  }
  validation {
    # an Ed25519 subject public key info is 44 bytes and always begins alike
    condition = alltrue(flatten([
      for region in values(var.regions) : [
        length(region.public_keys) >= 1 && length(region.public_keys) <= 2,
        [for key in region.public_keys : can(regex("^MCowBQYDK2VwAyEA[A-Za-z0-9+/]{43}=$", key))],
      ]
    ]))
    error_message = "regions: each has one or two public_keys, Ed25519, DER in base64 (openssl pkey -pubout -outform DER | base64)."
  }
  validation {
    condition     = length(distinct(flatten([for region in values(var.regions) : region.public_keys]))) == length(flatten([for region in values(var.regions) : region.public_keys]))
    error_message = "regions: no two have the same key."
  }
  validation {
    condition     = alltrue([for region in values(var.regions) : length(region.responders) <= 8])
    error_message = "regions: at most 8 responders each."
  }
  validation {
    condition = alltrue(flatten([
      for region in values(var.regions) : [
        for responder in region.responders : can(regex("^([0-9]{1,3}(\\.[0-9]{1,3}){3}|\\[[0-9a-fA-F:.]+\\]):[0-9]{1,5}$", responder))
      ]
    ]))
    error_message = "regions: responders have the form address:port with an address of a node and no name, such as 203.0.113.7:8444 or [fd00::1]:8444."
  }
}

variable "fleets" {
  description = <<-TEXT
    Placed Fleets of all regions, by name: their namespace, their spec as YAML with `home` and `placement`, and the spec of an
    AutoScaler without its `fleet`. Each is applied in the cluster of its home alone. Every field: docs/crds.md.
  TEXT
  type = map(object({
    namespace  = optional(string, "games")
    spec       = string
    autoscaler = optional(string)
  }))
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for name in keys(var.fleets) : can(regex("^[a-z]([a-z0-9-]{0,29}[a-z0-9])?$", name))])
    error_message = "fleets: names have at most 31 lower case letters, digits and dashes, begin with a letter and end with no dash, so that `<name>-<regionId>` is one too."
  }
  validation {
    condition     = alltrue([for fleet in values(var.fleets) : can(keys(yamldecode(fleet.spec).placement))])
    error_message = "fleets: each spec must be a YAML object with placement; one without is a region's own."
  }
  validation {
    condition     = alltrue([for fleet in values(var.fleets) : contains(keys(var.regions), try(yamldecode(fleet.spec).home, ""))])
    error_message = "fleets: home must be one of regions. Before a region is taken out, its Fleets are deleted and made anew at another home."
  }
  validation {
    condition = alltrue(flatten([
      for fleet in values(var.fleets) : [for place in try(yamldecode(fleet.spec).placement.regions, []) : contains(keys(var.regions), place.regionId)]
    ]))
    error_message = "fleets: placement names a region that is not one of regions."
  }
  validation {
    condition     = alltrue([for fleet in values(var.fleets) : fleet.autoscaler == null || !can(yamldecode(fleet.spec).replicas)])
    error_message = "fleets: replicas is the AutoScaler's where there is one; leave it out."
  }
  validation {
    condition = alltrue([
      for fleet in values(var.fleets) : fleet.autoscaler == null ||
      try(yamldecode(fleet.autoscaler).min <= yamldecode(fleet.autoscaler).max, false)
    ])
    error_message = "fleets: an AutoScaler has min and max, for all regions together, and min is not above max."
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
    condition     = alltrue([for fleet in values(var.fleets) : contains(var.game_namespaces, fleet.namespace)])
    error_message = "fleets: a namespace is not among game_namespaces."
  }
}

variable "alerting" {
  description = <<-TEXT
    `rules`: apply the alerts as a PrometheusRule; needs the definitions of the Prometheus Operator. `dashboards`: apply the
    dashboard as a ConfigMap for Grafana's sidecar. `labels` of the PrometheusRule, by which a Prometheus selects it; `alert_labels`
    that each alert gets; `runbooks`: where you serve docs/runbooks.
  TEXT
  type = object({
    rules        = optional(bool, false)
    dashboards   = optional(bool, false)
    labels       = optional(map(string), {})
    alert_labels = optional(map(string), {})
    runbooks     = optional(string, "docs/runbooks")
  })
  default  = {}
  nullable = false

  validation {
    condition     = !endswith(var.alerting.runbooks, "/")
    error_message = "alerting: runbooks is a path or URL without a slash at its end."
  }
}
