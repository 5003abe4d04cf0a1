//! What limits connections: descriptors, ports, queues, buffers.
//!
//! Owns the bars for them. Everything here is a file.

use super::finding::{Finding, Grade};
use super::tree::Tree;
use crate::client::parse_port_range;
use crate::figure::count;

/// Looks at all of it.
pub(super) fn findings(tree: &Tree) -> Vec<Finding> {
    vec![
        open_files(tree),
        ports(tree),
        time_wait(tree),
        backlog(tree),
        half_open(tree),
        buffers(tree, "receive buffer", "proc/sys/net/ipv4/tcp_rmem", RECEIVE_LIMITS),
        buffers(tree, "send buffer", "proc/sys/net/ipv4/tcp_wmem", SEND_LIMITS),
        tracked(tree),
    ]
}

fn open_files(tree: &Tree) -> Finding {
    const PATH: &str = "proc/self/limits";
    let (name, limits) = ("open files", "connections of one process, client or server");
    let fields = tree.text(PATH).and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
        let mut fields = line.split_whitespace().map(str::to_owned);
        Some((fields.next()?, fields.next()?))
    });
    let Some((soft, hard)) = fields else { return Finding::unknown(name, PATH, limits) };
    let most = hard.parse().unwrap_or(u64::MAX);
    Finding::new(name, format!("{soft}, raised to {hard} by this program"), limits)
        .grade_if(most < FEW_FILES, Grade::Bad, || {
            format!("raise the hard limit: ulimit -Hn {MANY_FILES}")
        })
        .grade_if(most < MANY_FILES, Grade::Note, || {
            format!("for more than {most} connections: ulimit -Hn, or LimitNOFILE of the service")
        })
}

fn ports(tree: &Tree) -> Finding {
    const PATH: &str = "proc/sys/net/ipv4/ip_local_port_range";
    let (name, limits) = ("local ports", "connections from one address to one server's port");
    let Some(range) = tree.text(PATH).and_then(|text| parse_port_range(&text)) else {
        return Finding::unknown(name, PATH, limits);
    };
    let value = format!("{} ({}-{})", range.len(), range.start(), range.end());
    Finding::new(name, value, limits).grade_if(range.len() < FEW_PORTS, Grade::Note, || {
        "sysctl net.ipv4.ip_local_port_range='32768 60999', or run churn --sources 253".to_owned()
    })
}

fn time_wait(tree: &Tree) -> Finding {
    let (name, limits) = ("ports after a close", "short connections per second from one address");
    let reuse = match tree.number("proc/sys/net/ipv4/tcp_tw_reuse") {
        Some(0) => "never reused within a minute",
        Some(1) => "reused after a second",
        Some(_) => "reused after a second on the loopback",
        None => return Finding::unknown(name, "proc/sys/net/ipv4/tcp_tw_reuse", limits),
    };
    let most = tree.number("proc/sys/net/ipv4/tcp_max_tw_buckets");
    let kept = most.map_or_else(|| "?".to_owned(), |most| count(most as f64));
    Finding::new(name, format!("{reuse}, at most {kept} kept"), limits).grade_if(
        reuse.starts_with("never"),
        Grade::Note,
        || "sysctl net.ipv4.tcp_tw_reuse=2, or let clients come from several addresses".to_owned(),
    )
}

fn backlog(tree: &Tree) -> Finding {
    const PATH: &str = "proc/sys/net/core/somaxconn";
    let (name, limits) = ("accept queue", "connections that wait for a listener to accept them");
    let Some(most) = tree.number(PATH) else { return Finding::unknown(name, PATH, limits) };
    Finding::new(name, format!("{most} (somaxconn)"), limits).grade_if(
        most < SHORT_QUEUE,
        Grade::Note,
        || format!("sysctl net.core.somaxconn={}", 4 * SHORT_QUEUE),
    )
}

fn half_open(tree: &Tree) -> Finding {
    const PATH: &str = "proc/sys/net/ipv4/tcp_max_syn_backlog";
    let (name, limits) = ("half-open queue", "connections a second from slow networks");
    let Some(most) = tree.number(PATH) else { return Finding::unknown(name, PATH, limits) };
    let cookies = tree.number("proc/sys/net/ipv4/tcp_syncookies") != Some(0);
    let value = format!("{most}, SYN cookies {}", if cookies { "beyond" } else { "off" });
    Finding::new(name, value, limits).grade_if(most < SHORT_QUEUE && !cookies, Grade::Note, || {
        format!("sysctl net.ipv4.tcp_max_syn_backlog={}", 4 * SHORT_QUEUE)
    })
}

fn buffers(tree: &Tree, name: &'static str, path: &str, limits: &'static str) -> Finding {
    let fields: Option<Vec<u64>> = tree.text(path).and_then(|text| {
        let numbers: Result<Vec<u64>, _> = text.split_whitespace().map(str::parse).collect();
        numbers.ok().filter(|numbers| numbers.len() == 3)
    });
    let Some(fields) = fields else { return Finding::unknown(name, path, limits) };
    let kib = |bytes: u64| bytes / 1024;
    let (first, most) = (fields[1], fields[2]);
    let value = format!("{} KiB, grows to {} KiB", kib(first), kib(most));
    Finding::new(name, value, limits).grade_if(most < SMALL_BUFFER, Grade::Note, || {
        let sysctl = path.trim_start_matches("proc/sys/").replace('/', ".");
        format!("sysctl {sysctl}='{} {first} {}'", fields[0], 4 * SMALL_BUFFER)
    })
}

fn tracked(tree: &Tree) -> Finding {
    let (name, limits) =
        ("connection tracking", "connections of the whole machine, closed ones too");
    let Some(most) = tree.number("proc/sys/net/netfilter/nf_conntrack_max") else {
        return Finding::new(name, "none", limits);
    };
    let now = tree.number("proc/sys/net/netfilter/nf_conntrack_count").unwrap_or_default();
    Finding::new(name, format!("{now} of {most}"), limits)
        .grade_if(u128::from(now) * 10 >= u128::from(most) * 9, Grade::Bad, || {
            format!(
                "new connections are dropped soon: sysctl net.netfilter.nf_conntrack_max={}",
                most.saturating_mul(4)
            )
        })
        .grade_if(most < FEW_TRACKED, Grade::Note, || {
            format!(
                "short connections fill it: sysctl net.netfilter.nf_conntrack_max={FEW_TRACKED}"
            )
        })
}

const RECEIVE_LIMITS: &str = "throughput of one connection over a long way, inwards";
const SEND_LIMITS: &str = "throughput of one connection over a long way, outwards";
/// The demonstration's connections and what a process needs besides.
const FEW_FILES: u64 = 192;
const MANY_FILES: u64 = 65_536;
const FEW_PORTS: usize = 20_000;
const SHORT_QUEUE: u64 = 1024;
/// What 100 Mbit/s need over 80 ms.
const SMALL_BUFFER: u64 = 1 << 20;
const FEW_TRACKED: u64 = 262_144;

#[cfg(test)]
mod tests {
    use super::super::tree::tests::tree;
    use super::*;

    fn graded(finding: &Finding) -> (&str, Grade, &str) {
        (&finding.value, finding.grade, finding.remedy.as_deref().unwrap_or_default())
    }

    fn limits(hard: &str) -> Finding {
        let text =
            format!("Limit  Soft Limit  Hard Limit  Units\nMax open files  64  {hard}  files\n");
        open_files(&tree(&[("proc/self/limits", &text)]).1)
    }

    #[test]
    fn files_are_judged_by_the_hard_limit() {
        assert_eq!(limits("191").grade, Grade::Bad);
        assert_eq!(limits("192").grade, Grade::Note);
        assert_eq!(limits("65536").grade, Grade::Ok);
        assert_eq!(limits("unlimited").grade, Grade::Ok);
        assert!(limits("100").remedy.unwrap().contains("ulimit -Hn 65536"));
    }

    #[test]
    fn a_narrow_machine_is_told_what_to_widen() {
        let (_root, tree) = tree(&[
            ("proc/sys/net/ipv4/ip_local_port_range", "50000 50099\n"),
            ("proc/sys/net/ipv4/tcp_tw_reuse", "0\n"),
            ("proc/sys/net/core/somaxconn", "128\n"),
            ("proc/sys/net/ipv4/tcp_max_syn_backlog", "128\n"),
            ("proc/sys/net/ipv4/tcp_syncookies", "0\n"),
            ("proc/sys/net/ipv4/tcp_rmem", "4096 65536 131072\n"),
            ("proc/sys/net/ipv4/tcp_wmem", "4096 16384 4194304\n"),
            ("proc/sys/net/netfilter/nf_conntrack_max", "65536\n"),
            ("proc/sys/net/netfilter/nf_conntrack_count", "60000\n"),
        ]);
        let found = findings(&tree);
        let expected = [
            ("open files", Grade::Note, "/proc/self/limits"),
            ("local ports", Grade::Note, "ip_local_port_range"),
            ("ports after a close", Grade::Note, "tcp_tw_reuse=2"),
            ("accept queue", Grade::Note, "somaxconn=4096"),
            ("half-open queue", Grade::Note, "tcp_max_syn_backlog=4096"),
            ("receive buffer", Grade::Note, "net.ipv4.tcp_rmem='4096 65536 4194304'"),
            ("send buffer", Grade::Ok, ""),
            ("connection tracking", Grade::Bad, "nf_conntrack_max=262144"),
        ];
        for (finding, (name, grade, part)) in found.iter().zip(expected) {
            assert_eq!((finding.name, finding.grade), (name, grade));
            assert!(graded(finding).2.contains(part), "{finding:?}");
        }
        assert_eq!(found.len(), expected.len());
        assert_eq!(found[1].value, "100 (50000-50099)");
    }

    #[test]
    fn numbers_that_no_machine_has_are_judged_all_the_same() {
        let most = u64::MAX.to_string();
        let (_root, tree) = tree(&[
            ("proc/sys/net/netfilter/nf_conntrack_max", &most),
            ("proc/sys/net/netfilter/nf_conntrack_count", &most),
        ]);
        assert_eq!(tracked(&tree).grade, Grade::Bad);
    }

    #[test]
    fn what_no_file_says_is_unknown_and_never_bad() {
        for finding in findings(&tree(&[]).1) {
            assert!(finding.grade < Grade::Bad, "{finding:?}");
        }
        let odd =
            tree(&[("proc/sys/net/ipv4/tcp_rmem", "many"), ("proc/sys/net/core/somaxconn", "")]);
        assert!(findings(&odd.1).iter().all(|finding| finding.grade < Grade::Bad));
    }
}
