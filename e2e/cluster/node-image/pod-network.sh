#!/bin/bash
# The pod network of a node: a bridge on its pod CIDR, routes to the other nodes' pod CIDRs, masquerading of what leaves the pods' networks.
# Quiet until default-cni.yaml is applied (before that the node may not list nodes), so kind's disableDefaultCNI keeps it out of the way.
set -u
export KUBECONFIG=/etc/kubernetes/kubelet.conf
peers=/kind/peer-pod-cidrs # optional: pod CIDRs of other clusters that are routed to this one, one a line
last=

reconcile() {
  local nodes cidr inside
  nodes=$(kubectl get nodes -o jsonpath='{range .items[*]}{.metadata.name} {.spec.podCIDR} {.status.addresses[?(@.type=="InternalIP")].address}{"\n"}{end}' 2>/dev/null | sort)
  cidr=$(awk -v node="$(hostname)" '$1==node && NF>=3 {print $2}' <<<"$nodes")
  [[ -n $cidr && $nodes != "$last" ]] || return 0
  while read -r _ other address _; do
    [[ $other == "$cidr" || -z $address ]] || ip route replace "$other" via "$address"
  done <<<"$nodes"
  inside=$({ awk 'NF>=3 {print $2}' <<<"$nodes"; cat $peers 2>/dev/null; } | sort -u | paste -sd,)
  nft "table ip kind-pods; delete table ip kind-pods
    table ip kind-pods {
      set inside { type ipv4_addr; flags interval; auto-merge; elements = { $inside }; }
      chain post { type nat hook postrouting priority 105; ip saddr $cidr ip daddr != @inside masquerade; }
    }" || return 0
  mkdir -p /etc/cni/net.d
  [[ -s /etc/cni/net.d/10-pods.conflist ]] || cat >/etc/cni/net.d/10-pods.conflist <<JSON
{"cniVersion": "1.0.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true,
   "ipam": {"type": "host-local", "ranges": [[{"subnet": "$cidr"}]], "routes": [{"dst": "0.0.0.0/0"}], "dataDir": "/run/cni-ipam"}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
JSON
  last=$nodes
}

while sleep 1; do
  while read -r _; do
    while read -r -t 0.1 _; do :; done # one look for a burst of events
    reconcile
  done < <(kubectl get nodes --watch -o name 2>/dev/null)
done
