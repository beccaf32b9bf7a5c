#!/bin/sh
# Whether a region may be removed: what is asked is its cluster, and not the map of regions. It ends well if the region is drained, has
# no server of a placed Fleet, is no placed Fleet's home, and nobody plays there; else it says all that speaks against it.
# REGION, KUBECONFIG_PATH and CONTEXT are those of the last apply; TF_VAR_kubeconfig and TF_VAR_context count before them.
set -u

kubeconfig=${TF_VAR_kubeconfig:-$KUBECONFIG_PATH}
case $kubeconfig in "~/"*) kubeconfig=$HOME/${kubeconfig#"~/"} ;; esac
context=${TF_VAR_context:-$CONTEXT}
tab=$(printf '\t')

ask() {
  kubectl --kubeconfig "$kubeconfig" --context "$context" --request-timeout 30s get "$@" || {
    echo "$REGION cannot be asked whether it is drained (kubectl get $1, context $context of $kubeconfig): nothing is removed" >&2
    exit 1
  }
}

drained='{.status.conditions[?(@.type=="Drained")].status}{"\t"}{.status.conditions[?(@.type=="Drained")].message}'
region=$(ask regionclusters.cranewing.dev "$REGION" --output "jsonpath=$drained") || exit 1

row='{.metadata.namespace}/{.metadata.name}{"\t"}{.metadata.labels.cranewing\.dev/parent}{"\t"}{.spec.home}'
row=$row'{"\t"}{.spec.replicas}{"\t"}{.status.replicas}'
fleets=$(ask fleets.cranewing.dev --all-namespaces --output "jsonpath={range .items[*]}$row{\"\\n\"}{end}") || exit 1

row='{.metadata.namespace}/{.metadata.name}{"\t"}{.status.players}'
servers=$(ask gameservers.cranewing.dev --all-namespaces --output "jsonpath={range .items[*]}$row{\"\\n\"}{end}") || exit 1

against=$(
  case $region in
    True"$tab"*) ;;
    "$tab") echo "is not drained: no region says so (condition Drained of its RegionCluster)" ;;
    *) echo "is not drained: too few regions say so (${region#*"$tab"})" ;;
  esac
  # a share names its parent in a label
  printf '%s\n' "$fleets" | awk -F '\t' -v region="$REGION" '
    $2 != "" && ($4 + 0 > 0 || $5 + 0 > 0) { print "is not drained: Fleet " $1 " has " ($5 + 0) " game servers and asks for " ($4 + 0) }
    $3 == region { print "is the home of Fleet " $1 ", which would be deleted in all regions" }'
  printf '%s\n' "$servers" | awk -F '\t' '
    $2 + 0 > 0 { players += $2; servers += 1; if (servers == 1) first = $1 }
    END { if (players) print "has " players " players on " servers " game servers, such as " first }'
)
test -z "$against" && exit 0
printf '%s\n' "$against" | sed "s/^/$REGION /" >&2
echo "nothing of $REGION was removed; README.md says how a region is taken out" >&2
exit 1
