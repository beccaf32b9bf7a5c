#!/bin/bash
# Builds the root file system of a kind node from Debian packages, the binaries that `cargo xtask tools` built and kind's own files.
#
# In:  VERSION     Kubernetes version, with its v
#      PAUSE       tag of the pause image that this containerd and kubeadm agree on
#      BIN         directory with every binary named below
#      KIND_FILES  images/base/files of kind's module
#      XTASK       this checkout's xtask (its `image` command writes image archives)
#      WORK        scratch directory, on a file system that overlayfs may sit on
# Out: $WORK/rootfs.tar
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$WORK/root tree=$WORK/tree
triplet=$(uname -m)-linux-gnu

debootstrap --variant=minbase --include="$(grep -v '^#' "$here/packages" | paste -sd,)" bookworm "$root" >"$WORK/debootstrap.log" ||
  { tail -n 20 "$WORK/debootstrap.log" >&2; exit 1; }

# --- kind's files, the binaries, the pod network ---
mkdir -p "$root"/kind/{bin,manifests} "$root/opt/cni/bin" "$root/etc/kubernetes/manifests"
cp -r "$KIND_FILES/etc/." "$root/etc/"
cp "$KIND_FILES"/kind/bin/* "$here/pod-network.sh" "$root/kind/bin/"
cp "$KIND_FILES/usr/local/bin/entrypoint" "$root/usr/local/bin/"
cp "$BIN"/{containerd,containerd-shim-runc-v2,ctr,crictl} "$root/usr/local/bin/"
cp "$BIN"/{kubeadm,kubelet,kubectl} "$root/usr/bin/"
mv "$root"/usr/lib/cni/{host-local,loopback,ptp,portmap,bridge} "$root/opt/cni/bin/"
cp "$here/pod-network.service" "$root/etc/systemd/system/"
cp "$here"/manifests/*.yaml "$root/kind/manifests/"
printf %s "$VERSION" >"$root/kind/version"
# a module cache keeps its files read-only
chmod -R u+w,go+rX "$root"/etc/{containerd,systemd,default,sysctl.d,crictl.yaml} "$root/kind"
chmod 755 "$root"/kind/bin/* "$root"/usr/local/bin/*

PAUSE=$PAUSE chroot "$root" sh -ec '
  cd /lib/systemd/system
  rm -f sysinit.target.wants/systemd-tmpfiles-setup.service multi-user.target.wants/* /etc/systemd/system/*.wants/* \
    local-fs.target.wants/* sockets.target.wants/*udev* sockets.target.wants/*initctl* basic.target.wants/*
  echo ReadKMsg=no >>/etc/systemd/journald.conf
  systemctl -q enable kubelet containerd undo-mount-hacks pod-network
  systemctl -q mask systemd-binfmt.service
  ctr oci spec | jq ".hooks.createContainer=[{path:\"/kind/bin/mount-product-files.sh\"}] | del(.process.rlimits)" >/etc/containerd/cri-base.json
  # a host without CAP_SYS_RESOURCE may not lower oom_score_adj
  sed -i "s/restrict_oom_score_adj = false/restrict_oom_score_adj = true/; s#pause:[0-9.]*\"#pause:$PAUSE\"#" /etc/containerd/config.toml
  # a host may still have cgroup v1
  sed -i "s/^KUBELET_EXTRA_ARGS=.*/& --fail-cgroupv1=false/" /etc/default/kubelet
  rm -rf /var/cache/apt/* /var/lib/apt/lists/* /usr/share/doc/* /usr/share/man/* /usr/share/locale/* /var/log/* /usr/lib/cni /var/lib/dbus/machine-id
  : >/etc/machine-id'

# --- the images that kubeadm names, imported into the node's own containerd store ---
# a socket's path has at most 104 bytes, and $WORK may be long; this mount is in a namespace that ends with the build
mount -t tmpfs tmpfs /run/lock
socket=/run/lock/containerd.sock
cat >"$WORK/containerd.toml" <<TOML
version = 3
root = "$root/var/lib/containerd"
state = "$WORK/state"
disabled_plugins = ["io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime", "io.containerd.grpc.v1.cri"]
[grpc]
address = "$socket"
TOML
"$BIN/containerd" -c "$WORK/containerd.toml" 2>"$WORK/containerd.log" &
containerd=$!
trap 'kill $containerd 2>/dev/null || :' EXIT
ctr() { "$BIN/ctr" -a "$socket" -n k8s.io "$@"; }
# on a busy machine it takes its time; one that has ended, or has had five minutes, will not answer
began=$SECONDS
until ctr version &>/dev/null; do
  if ! kill -0 $containerd 2>/dev/null || ((SECONDS - began > 300)); then tail -n 20 "$WORK/containerd.log" >&2; exit 1; fi
  sleep .1
done

empty_tree() { rm -rf "$tree"; mkdir -p "$tree"/{usr/local/bin,tmp}; }
import_tree() { # COMPONENT [ENTRYPOINT]: $tree becomes the image that kubeadm names for COMPONENT
  "$XTASK" image "$("$BIN/kubeadm" config images list --kubernetes-version "$VERSION" | grep "/$1:")" "$WORK/image.tar" "$tree" ${2+"$2"}
  # unpacked here once instead of on every node
  ctr images import --snapshotter overlayfs --digests "$WORK/image.tar" >/dev/null
  empty_tree
}
empty_tree
for binary in kube-apiserver kube-controller-manager kube-scheduler etcd; do
  cp "$BIN/$binary" "$tree/usr/local/bin/"; import_tree $binary
done
for binary in pause coredns; do cp "$BIN/$binary" "$tree/"; import_tree $binary /$binary; done
# kube-proxy calls nft or iptables, so its image carries them with their libraries
mkdir -p "$tree"/usr/{bin,sbin,lib64} "$tree/usr/lib/$triplet" "$tree/run"
for directory in bin sbin lib lib64; do ln -s usr/$directory "$tree/$directory"; done
cp "$BIN/kube-proxy" "$tree/usr/local/bin/"
cp "$root"/usr/sbin/{nft,xtables-nft-multi} "$tree/usr/sbin/"
for name in ip{,6}tables{,-save,-restore}; do ln -s xtables-nft-multi "$tree/usr/sbin/$name"; done
cp -r "$root/usr/lib/$triplet/xtables" "$tree/usr/lib/$triplet/"
chroot "$root" ldd /usr/sbin/nft /usr/sbin/xtables-nft-multi | awk '/=>/{print $3}' | sort -u |
  while read -r library; do cp -L "$root$library" "$tree/usr/lib/$triplet/"; done
cp -L "$root"/lib*/ld-linux-*.so.* "$tree/usr/lib64/" 2>/dev/null || cp -L "$root/lib/$triplet"/ld-linux-*.so.* "$tree/usr/lib/"
import_tree kube-proxy
kill $containerd; wait $containerd || :
trap - EXIT
rm -rf "$root"/var/lib/containerd/tmpmounts/*

tar -C "$root" --numeric-owner -cf "$WORK/rootfs.tar" .
