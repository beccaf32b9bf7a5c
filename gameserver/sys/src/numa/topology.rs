//! Which nodes there are: what Linux shows under `/sys/devices/system/node`.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::CPUS_MAX;
use crate::list::parse_list;

/// Nodes that a machine may have: numbers of nodes are below this.
pub const NODES_MAX: usize = 64;

/// Bytes that a file of sysfs may have: the kernel writes one page.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// A node that is online.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its number, below [`NODES_MAX`].
    pub id: usize,
    /// Its CPUs that are online, ascending; none for a node of memory alone.
    pub cpus: Vec<usize>,
    /// Its memory in KiB, `None` when that is not told; zero for a node of CPUs alone.
    pub memory_kib: Option<u64>,
    /// How far each online node is, in the order of their numbers, by the firmware's measure (10 is itself); empty
    /// when that is not told.
    pub distances: Vec<u32>,
}

/// The nodes that are online, by ascending number; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    /// The nodes.
    pub nodes: Vec<Node>,
}

impl Topology {
    /// One node with all of these CPUs, as a kernel without NUMA has it.
    pub fn of_one_node(cpus: &[usize]) -> Self {
        Self { nodes: vec![Node { id: 0, cpus: cpus.to_vec(), memory_kib: None, distances: vec![] }] }
    }

    /// The node of this number, if it is online.
    pub fn node(&self, id: usize) -> Option<&Node> {
        self.nodes.iter().find(|node| node.id == id)
    }

    /// The node that this CPU is of.
    pub fn node_of_cpu(&self, cpu: usize) -> Option<&Node> {
        self.nodes.iter().find(|node| node.cpus.contains(&cpu))
    }

    /// Of the nodes with an allowed CPU the one that is nearest to node `id`, which is itself if it has one; of equally
    /// near ones the first.
    pub fn nearest_with_cpu(&self, id: usize, allowed: &[usize]) -> Option<&Node> {
        let from = self.node(id)?;
        let has_cpu = |node: &Node| node.cpus.iter().any(|cpu| allowed.contains(cpu));
        let with_cpu = self.nodes.iter().enumerate().filter(|(_, node)| has_cpu(node));
        let distance = |(index, node): &(usize, &Node)| {
            (node.id != id, from.distances.get(*index).copied().unwrap_or(u32::MAX))
        };
        with_cpu.min_by_key(distance).map(|(_, node)| node)
    }

    /// Numbers of the nodes that have memory, or of which nobody says that they have none.
    pub fn with_memory(&self) -> impl Iterator<Item = usize> + '_ {
        self.nodes.iter().filter(|node| node.memory_kib != Some(0)).map(|node| node.id)
    }
}

/// What Linux shows of its nodes cannot be read or is not understood.
#[derive(Debug, thiserror::Error)]
#[error("failed to learn about NUMA nodes from {}", path.display())]
pub struct TopologyError {
    path: PathBuf,
    source: io::Error,
}

/// Reads the nodes below `root`. Where nothing is shown, as without NUMA, all of `allowed` are of one node.
///
/// # Errors
/// When a file cannot be read, is not understood or says more than the limits; the error names it.
pub fn read_topology(root: &Path, allowed: &[usize]) -> Result<Topology, TopologyError> {
    let path = root.join("online");
    let online = match read(&path) {
        Ok(text) => list(&path, &text, NODES_MAX)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Topology::of_one_node(allowed)),
        Err(source) => return Err(TopologyError { path, source }),
    };
    if online.is_empty() {
        return Err(invalid(&path, "no node is online"));
    }
    let mut nodes: Vec<Node> = Vec::with_capacity(online.len());
    for &id in &online {
        let node = read_node(&root.join(format!("node{id}")), id, online.len())?;
        let of_another = |cpu: &&usize| nodes.iter().any(|other| other.cpus.contains(cpu));
        if let Some(cpu) = node.cpus.iter().find(of_another) {
            let path = root.join(format!("node{id}/cpulist"));
            return Err(invalid(&path, format!("CPU {cpu} is of another node too")));
        }
        nodes.push(node);
    }
    Ok(Topology { nodes })
}

fn read_node(directory: &Path, id: usize, online: usize) -> Result<Node, TopologyError> {
    let text_of = |name: &str| {
        let path = directory.join(name);
        match read(&path) {
            Ok(text) => Ok((path, text)),
            Err(source) => Err(TopologyError { path, source }),
        }
    };
    let (path, text) = text_of("cpulist")?;
    let cpus = list(&path, &text, CPUS_MAX)?;
    let (path, text) = text_of("meminfo")?;
    let memory_kib = memory_kib(&text).map_err(|fault| invalid(&path, fault))?;
    let (path, text) = text_of("distance")?;
    let distances = distances(&text, online).map_err(|fault| invalid(&path, fault))?;
    Ok(Node { id, cpus, memory_kib, distances })
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let bytes = File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if bytes as u64 > FILE_BYTES_MAX {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("longer than {FILE_BYTES_MAX} bytes"),
        ));
    }
    Ok(text)
}

fn list(path: &Path, text: &str, end: usize) -> Result<Vec<usize>, TopologyError> {
    parse_list(text, end).map_err(|error| invalid(path, error))
}

/// Of lines such as `Node 0 MemTotal:       24684084 kB`; `None` for an empty text.
fn memory_kib(text: &str) -> Result<Option<u64>, String> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    let line = text.lines().find(|line| line.contains("MemTotal:")).ok_or("no line says MemTotal")?;
    let figure = line.split_once("MemTotal:").and_then(|(_, rest)| rest.trim().strip_suffix("kB"));
    let kib = figure.and_then(|figure| figure.trim().parse().ok());
    kib.map(Some).ok_or_else(|| format!("{line:?} says no kB"))
}

/// Of a line such as `10 21`: one distance for each online node, or none at all.
fn distances(text: &str, online: usize) -> Result<Vec<u32>, String> {
    let number = |word: &str| word.parse::<u32>().map_err(|error| format!("{word:?}: {error}"));
    let distances: Vec<u32> =
        text.split_whitespace().take(online + 1).map(number).collect::<Result<_, _>>()?;
    if !distances.is_empty() && distances.len() != online {
        return Err(format!("not as many distances as nodes that are online, {online}"));
    }
    Ok(distances)
}

fn invalid(path: &Path, fault: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> TopologyError {
    TopologyError { path: path.to_owned(), source: io::Error::new(io::ErrorKind::InvalidData, fault) }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{NodeFiles, Tree};
    use super::*;

    /// `count` nodes of two CPUs and 1 GiB each, 10 from themselves and 20 from each other.
    fn even(count: usize) -> Vec<NodeFiles> {
        let distance = |of: usize| {
            let all: Vec<_> = (0..count).map(|to| if to == of { "10" } else { "20" }).collect();
            all.join(" ")
        };
        (0..count)
            .map(|id| {
                NodeFiles::new(id, &format!("{}-{}", 2 * id, 2 * id + 1), 1 << 20).distance(&distance(id))
            })
            .collect()
    }

    #[test]
    fn machines_of_one_to_eight_nodes_are_read_in_full() {
        for count in 1..=8 {
            let online = if count == 1 { "0\n".to_owned() } else { format!("0-{}\n", count - 1) };
            let tree = Tree::new(&online, &even(count));
            let topology = read_topology(&tree.root, &[]).unwrap();
            let expected: Vec<Node> = (0..count)
                .map(|id| Node {
                    id,
                    cpus: vec![2 * id, 2 * id + 1],
                    memory_kib: Some(1 << 20),
                    distances: (0..count).map(|to| if to == id { 10 } else { 20 }).collect(),
                })
                .collect();
            assert_eq!(topology.nodes, expected, "{count} nodes");
            assert_eq!(topology.node_of_cpu(2 * count - 1).map(|node| node.id), Some(count - 1));
            assert_eq!(topology.node_of_cpu(2 * count), None);
        }
    }

    #[test]
    fn odd_machines_are_read_as_they_are() {
        // name, online, nodes, expected as (number, CPUs, memory)
        type Case = (&'static str, &'static str, Vec<NodeFiles>, Vec<(usize, Vec<usize>, Option<u64>)>);
        let file = NodeFiles::new;
        let cases: [Case; 5] = [
            (
                "holes in the numbers and in the CPUs",
                "0,2,5",
                vec![file(0, "0-3,8-11", 4), file(2, "4-7", 4), file(5, "12", 4)],
                vec![
                    (0, vec![0, 1, 2, 3, 8, 9, 10, 11], Some(4)),
                    (2, vec![4, 5, 6, 7], Some(4)),
                    (5, vec![12], Some(4)),
                ],
            ),
            (
                "a node of memory alone",
                "0-1",
                vec![file(0, "0-1", 4), file(1, "", 64)],
                vec![(0, vec![0, 1], Some(4)), (1, vec![], Some(64))],
            ),
            (
                "a node of CPUs alone",
                "0-1",
                vec![file(0, "0", 4), file(1, "1", 0)],
                vec![(0, vec![0], Some(4)), (1, vec![1], Some(0))],
            ),
            (
                "a node that is offline is not looked at",
                "1",
                vec![file(0, "nonsense", 4), file(1, "0-1", 4)],
                vec![(1, vec![0, 1], Some(4))],
            ),
            (
                "empty files say nothing",
                "0",
                vec![file(0, "\n", 4).meminfo("").distance("")],
                vec![(0, vec![], None)],
            ),
        ];
        for (name, online, nodes, expected) in cases {
            let topology = read_topology(&Tree::new(online, &nodes).root, &[]).unwrap();
            let found: Vec<_> =
                topology.nodes.into_iter().map(|node| (node.id, node.cpus, node.memory_kib)).collect();
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn where_nothing_is_shown_one_node_has_all_allowed_cpus() {
        let tree = Tree::new("0", &[]);
        let topology = read_topology(&tree.root.join("not there"), &[1, 3]).unwrap();
        assert_eq!(topology, Topology::of_one_node(&[1, 3]));
        assert_eq!(topology.node_of_cpu(3).map(|node| node.id), Some(0));
    }

    #[test]
    fn an_error_names_the_file_and_what_is_wrong_with_it() {
        let file = NodeFiles::new;
        let cases = [
            ("no node", "", vec![], "online", "no node is online"),
            ("too many nodes", "0-64", vec![], "online", "64 is not below 64"),
            ("no list", "zero", vec![], "online", "\"zero\" is no number and no range of numbers"),
            ("no directory", "0", vec![], "node0/cpulist", "No such file or directory (os error 2)"),
            ("too many CPUs", "0", vec![file(0, "0-1024", 4)], "node0/cpulist", "1024 is not below 1024"),
            (
                "a CPU twice",
                "0-1",
                vec![file(0, "0-1", 4).distance("10 20"), file(1, "1-2", 4).distance("20 10")],
                "node1/cpulist",
                "CPU 1 is of another node too",
            ),
            (
                "no memory",
                "0",
                vec![file(0, "0", 4).meminfo("Node 0 MemFree: 4 kB\n")],
                "node0/meminfo",
                "no line says MemTotal",
            ),
            (
                "no figure",
                "0",
                vec![file(0, "0", 4).meminfo("Node 0 MemTotal: lots kB\n")],
                "node0/meminfo",
                "\"Node 0 MemTotal: lots kB\" says no kB",
            ),
            (
                "too few distances",
                "0",
                vec![file(0, "0", 4).distance("10 20")],
                "node0/distance",
                "not as many distances as nodes that are online, 1",
            ),
            (
                "no distance",
                "0",
                vec![file(0, "0", 4).distance("near")],
                "node0/distance",
                "\"near\": invalid digit found in string",
            ),
            (
                "endless",
                "0",
                vec![file(0, "0", 4).meminfo(&" ".repeat(70_000))],
                "node0/meminfo",
                "longer than 65536 bytes",
            ),
        ];
        for (name, online, nodes, path, fault) in cases {
            let tree = Tree::new(online, &nodes);
            let error = read_topology(&tree.root, &[]).unwrap_err();
            let expected =
                format!("failed to learn about NUMA nodes from {}", tree.root.join(path).display());
            assert_eq!(error.to_string(), expected, "{name}");
            assert_eq!(error.source.to_string(), fault, "{name}");
        }
    }

    #[test]
    fn memory_without_cpus_is_served_by_the_nearest_that_may_be_used() {
        let nodes = [
            NodeFiles::new(0, "0-1", 4).distance("10 20 40 30"),
            NodeFiles::new(1, "2-3", 4).distance("20 10 30 40"),
            NodeFiles::new(4, "", 64).distance("40 30 10 50"),
            NodeFiles::new(5, "4", 4).distance("30 40 50 10"),
        ];
        let topology = read_topology(&Tree::new("0-1,4-5", &nodes).root, &[]).unwrap();
        let nearest = |id, allowed: &[usize]| topology.nearest_with_cpu(id, allowed).map(|node| node.id);
        assert_eq!(nearest(4, &[0, 1, 2, 3, 4]), Some(1));
        assert_eq!(nearest(4, &[0, 4]), Some(0), "where node 1 may not be used");
        assert_eq!(nearest(5, &[0, 2, 4]), Some(5), "itself");
        assert_eq!(nearest(4, &[]), None);
        assert_eq!(nearest(9, &[0]), None, "a node that is not there");
        let mut untold = topology;
        untold.nodes.iter_mut().for_each(|node| node.distances.clear());
        assert_eq!(untold.nearest_with_cpu(5, &[0, 2, 4]).map(|node| node.id), Some(5), "itself, untold");
        assert_eq!(untold.nearest_with_cpu(4, &[2, 4]).map(|node| node.id), Some(1), "else the first");
    }
}
