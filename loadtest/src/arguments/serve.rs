//! The flags of `serve`, and of the limits it sets.
//!
//! Owns how a server is written as a command for a child process. Never acts.

use std::ffi::OsString;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use sluicegate::{Placement, PlacementError, Rate};

use super::{PlacementArguments, ServerTlsArguments, WatchArguments};
use crate::cpus::CpuChoice;
use crate::units::{Size, duration};

/// What a server does with its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Service {
    /// Sends back what it receives.
    Echo,
    /// Sends as fast as it may.
    Source,
    /// Receives and discards.
    Sink,
    /// Echo by a bare poll loop, to compare with.
    Bare,
}

impl Service {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Source => "source",
            Self::Sink => "sink",
            Self::Bare => "bare",
        }
    }
}

/// Limits the server puts on its connections.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LimitArguments {
    /// Limit of all connections together, as in 10MB/s
    #[arg(long, value_name = "BW")]
    pub(crate) group_limit: Option<Rate>,
    /// Limit of each connection
    #[arg(long, value_name = "BW")]
    pub(crate) conn_limit: Option<Rate>,
    /// Most that may pass at once after a silence [default: 100 ms of rate or four ticks, at least
    /// 64 KiB]
    #[arg(long, value_name = "SIZE")]
    pub(crate) burst: Option<Size>,
    /// The same for each connection's own limit [default: as --burst, by its own rate]
    #[arg(long, value_name = "SIZE")]
    pub(crate) conn_burst: Option<Size>,
    /// Gives out tokens in ticks instead of continuously
    #[arg(long, value_name = "T", value_parser = duration)]
    pub(crate) tick: Option<Duration>,
    /// Least that a member moves at a time
    #[arg(long, value_name = "SIZE")]
    pub(crate) min_share: Option<Size>,
    /// Bytes that something outside takes from the group each tick, both ways
    #[arg(long, value_name = "SIZE", hide = true, requires = "tick")]
    pub(crate) group_drain: Option<Size>,
}

impl LimitArguments {
    /// Whether any limit is set.
    pub(crate) fn any(&self) -> bool {
        self.group_limit.is_some() || self.conn_limit.is_some()
    }

    /// The first flag that was given, by name.
    pub(crate) fn given(&self) -> Option<&'static str> {
        let Self { group_limit, conn_limit, burst, conn_burst, tick, min_share, group_drain } =
            self;
        [
            ("--group-limit", group_limit.is_some()),
            ("--conn-limit", conn_limit.is_some()),
            ("--burst", burst.is_some()),
            ("--conn-burst", conn_burst.is_some()),
            ("--tick", tick.is_some()),
            ("--min-share", min_share.is_some()),
            ("--group-drain", group_drain.is_some()),
        ]
        .into_iter()
        .find_map(|(name, given)| given.then_some(name))
    }
}

#[derive(Args, Clone, Debug)]
pub(crate) struct ServeArguments {
    #[arg(value_enum)]
    pub(crate) service: Service,
    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub(crate) listen: String,
    /// CPUs to run on, one core each: a list as in 0-3,8, auto (all), or none (wherever)
    /// [default: none]
    #[arg(long, value_name = "LIST")]
    pub(crate) cpus: Option<CpuChoice>,
    #[command(flatten)]
    pub(crate) placement: PlacementArguments,
    #[command(flatten)]
    pub(crate) limits: LimitArguments,
    /// A port of its own for each core, all named by READY, instead of one for all
    #[arg(long)]
    pub(crate) port_per_core: bool,
    /// Weights of the group's members, given out in turn, as in 3,1
    #[arg(long, value_name = "LIST", value_delimiter = ',', requires = "group_limit")]
    pub(crate) weights: Vec<NonZeroU32>,
    /// The kernel's send buffer of each connection [default: the kernel's choice]
    #[arg(long, value_name = "SIZE")]
    pub(crate) send_buffer: Option<Size>,
    /// source: the most of a single write
    #[arg(long, value_name = "SIZE")]
    pub(crate) write_size: Option<Size>,
    /// source: sends that much in all by a timer, in writes of --write-size, instead of all it can
    #[arg(long, value_name = "BW", requires = "write_size")]
    pub(crate) pace: Option<Rate>,
    #[command(flatten)]
    pub(crate) tls: ServerTlsArguments,
    #[command(flatten)]
    pub(crate) watch: WatchArguments,
    /// Writes every metered operation to this file at the end
    #[arg(long, value_name = "FILE")]
    pub(crate) audit: Option<PathBuf>,
    /// Takes requests on standard input and stops at its end
    #[arg(long, hide = true)]
    pub(crate) controlled: bool,
    /// Reads from no connection before it is told to go on
    #[arg(long, hide = true, requires = "controlled")]
    pub(crate) hold: bool,
    /// Set by the flag of the same name
    #[arg(skip)]
    pub(crate) break_limiter: bool,
    /// What the environment says of its cores, where it heeds that.
    #[arg(skip)]
    pub(crate) variables: Placement,
}

impl ServeArguments {
    /// Whether variables place its cores where flags do not: those of a server of the runtime that
    /// a person starts. What a run starts follows from the flags of the run, and the bare loop is a
    /// ruler.
    pub(crate) fn heeds_variables(&self) -> bool {
        !self.controlled && self.service != Service::Bare
    }

    /// What it asks of the runtime on the CPUs that its flag has come to.
    ///
    /// # Errors
    /// A CPU that no set can name.
    pub(crate) fn asked(&self, cpus: &[usize]) -> Result<Placement, PlacementError> {
        let mut variables = self.variables.clone();
        if self.cpus.is_some() {
            // `none` is an answer too.
            variables.cpus = None;
        }
        self.placement.asked(cpus, variables)
    }

    /// A server on a free local port, one core per CPU given.
    pub(crate) fn local(service: Service, cpus: &[usize]) -> Self {
        let choice = match cpus {
            [] => CpuChoice::Unpinned,
            cpus => CpuChoice::List(cpus.to_vec()),
        };
        Self {
            service,
            listen: "127.0.0.1:0".to_owned(),
            cpus: Some(choice),
            placement: PlacementArguments::default(),
            limits: LimitArguments::default(),
            port_per_core: false,
            weights: Vec::new(),
            send_buffer: None,
            write_size: None,
            pace: None,
            tls: ServerTlsArguments::default(),
            watch: WatchArguments::default(),
            audit: None,
            controlled: true,
            hold: false,
            break_limiter: false,
            variables: Placement::default(),
        }
    }

    /// The arguments that make a child process start this server.
    pub(crate) fn to_command_line(&self) -> Vec<OsString> {
        let mut line: Vec<OsString> = vec!["serve".into(), self.service.name().into()];
        let mut flag = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                line.push(name.into());
                line.push(value.into());
            }
        };
        let bytes = |size: Option<Size>| size.map(|size| size.0.to_string());
        let limits = &self.limits;
        flag("--listen", Some(self.listen.clone()));
        flag("--cpus", self.cpus.as_ref().map(ToString::to_string));
        flag("--group-limit", limits.group_limit.map(|rate| rate.to_string()));
        flag("--conn-limit", limits.conn_limit.map(|rate| rate.to_string()));
        flag("--burst", bytes(limits.burst));
        flag("--conn-burst", bytes(limits.conn_burst));
        flag("--tick", limits.tick.map(|tick| format!("{}ns", tick.as_nanos())));
        flag("--min-share", bytes(limits.min_share));
        flag("--group-drain", bytes(limits.group_drain));
        flag("--send-buffer", bytes(self.send_buffer));
        flag("--write-size", bytes(self.write_size));
        flag("--pace", self.pace.map(|rate| rate.to_string()));
        for (name, value) in self.watch.flags() {
            flag(name, Some(value));
        }
        let weights: Vec<String> = self.weights.iter().map(ToString::to_string).collect();
        flag("--weights", (!weights.is_empty()).then(|| weights.join(",")));
        for (name, value) in self.placement.flags() {
            line.push(name.into());
            line.extend(value.map(OsString::from));
        }
        line.extend(self.tls.to_command_line());
        if let Some(path) = &self.audit {
            line.extend(["--audit".into(), path.into()]);
        }
        for (name, given) in [
            ("--controlled", self.controlled),
            ("--hold", self.hold),
            ("--port-per-core", self.port_per_core),
            ("--break-limiter", self.break_limiter),
        ] {
            if given {
                line.push(name.into());
            }
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use sluicegate::{AcceptMode, Cores, Idle, Order, Pin, Smt};

    use super::*;
    use crate::arguments::{Arguments, Command};

    #[test]
    fn a_server_survives_the_way_to_the_child() {
        let mut server = ServeArguments::local(Service::Source, &[0, 2]);
        server.limits = LimitArguments {
            group_limit: Some("10MB/s".parse().unwrap()),
            conn_limit: Some("80kbit/s".parse().unwrap()),
            burst: Some(Size(70_000)),
            conn_burst: Some(Size(7)),
            tick: Some(Duration::from_micros(1500)),
            min_share: Some(Size(64)),
            group_drain: Some(Size(500)),
        };
        server.break_limiter = true;
        server.placement = PlacementArguments {
            cores: Some(Cores::Count(2)),
            pin: Some(Pin::Set),
            order: Some(Order::Pack),
            smt: Some(Smt::One),
            idle: Some(Idle::Spin(Duration::from_micros(50))),
            accept: Some(AcceptMode::Fixed(1)),
            strict: Some(false),
        };
        server.port_per_core = true;
        server.weights = [3, 1].map(|weight| NonZeroU32::new(weight).unwrap()).to_vec();
        server.send_buffer = Some(Size(4096));
        server.write_size = Some(Size(1000));
        server.pace = server.limits.group_limit;
        server.tls = ServerTlsArguments {
            tls: true,
            cert: Some("a certificate.pem".into()),
            key: Some("key.pem".into()),
        };
        server.watch = WatchArguments {
            metrics: Some("127.0.0.1:9100".to_owned()),
            watchdog: Some("50ms".parse().unwrap()),
        };
        let line = std::iter::once("loadtest".into()).chain(server.to_command_line());
        let arguments = Arguments::try_parse_from(line).unwrap();
        assert!(arguments.break_limiter);
        let Some(Command::Serve(read)) = arguments.command else { panic!("not a serve") };
        assert_eq!(read.limits, server.limits);
        assert_eq!((read.cpus, read.placement), (server.cpus, server.placement));
        assert!(read.controlled && read.port_per_core);
        assert_eq!((read.weights, read.send_buffer), (server.weights, server.send_buffer));
        assert_eq!((read.write_size, read.pace), (server.write_size, server.pace));
        assert_eq!((read.watch, read.tls), (server.watch, server.tls));
    }
}
