//! Files in an output: sent by the kernel in pieces that limits allow, or through memory.

use std::fs;
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::time::Duration;

use sluicegate::{
    Context, Direction, Event, EventFlags, File, Group, Handler, MeteredOperation, Observer,
    PairOptions, Runtime, Shutdown, Source, TokenBucketConfig,
};

/// Longest that a test waits for what has to happen.
const BOUND: Duration = Duration::from_secs(30);

fn contents() -> Vec<u8> {
    (0..512 << 10).map(|place: u32| (place.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn file(bytes: &[u8]) -> io::Result<fs::File> {
    let mut file = tempfile::tempfile()?;
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
}

/// Tells of events, and closes when everything is written.
struct Offer(Sender<Event>);

impl Handler for Offer {
    fn on_write(&mut self, cx: &mut Context<'_>) {
        cx.me().close();
    }

    fn on_event(&mut self, cx: &mut Context<'_>, event: Event) {
        self.0.send(event).expect("the test listens");
        cx.me().close_now();
    }
}

struct Largest(Sender<u64>);

impl Observer for Largest {
    fn metered(&mut self, operation: &MeteredOperation) {
        if operation.direction == Direction::Write {
            self.0.send(operation.bytes).expect("the test listens");
        }
    }
}

fn serve(
    source: Arc<dyn Source>,
    group: Option<Group>,
    observer: Option<Sender<u64>>,
    events: Sender<Event>,
) -> (SocketAddr, sluicegate::Running) {
    let mut builder = Runtime::builder().cores(1);
    if let Some(sizes) = observer {
        builder = builder.observer(move |_| Box::new(Largest(sizes.clone())));
    }
    let mut runtime = builder.build().expect("one core");
    let addr = runtime
        .listen("127.0.0.1:0", move |conn| {
            if let Some(group) = &group {
                conn.join(group).expect("a seat");
            }
            let mut output = conn.output();
            output.add(b"head");
            output.add_source(source.clone()).expect("within the limit");
            Offer(events.clone())
        })
        .expect("a free port");
    (addr, runtime.start().expect("a thread"))
}

fn receive(addr: SocketAddr) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(BOUND))?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[test]
fn a_file_arrives_behind_what_was_written_before_it() {
    let (events, _kept) = mpsc::channel();
    let source = Arc::new(File::new(file(&contents()).unwrap()).unwrap());
    let (addr, running) = serve(source, None, None, events);
    for _ in 0..2 {
        assert!(receive(addr).unwrap() == [b"head", &contents()[..]].concat());
    }
    running.handle().shutdown(Shutdown::Now);
    running.join();
}

#[test]
fn a_file_is_sent_in_pieces_no_larger_than_the_grant() {
    let (events, _kept) = mpsc::channel();
    let (sizes, seen) = mpsc::channel();
    let group = Group::builder(TokenBucketConfig::per_second("4MB/s".parse().unwrap()));
    let group = group.build().unwrap();
    let source = Arc::new(File::new(file(&contents()).unwrap()).unwrap());
    let (addr, running) = serve(source, Some(group), Some(sizes), events);
    assert!(receive(addr).unwrap() == [b"head", &contents()[..]].concat());
    running.handle().shutdown(Shutdown::Now);
    running.join();
    let sizes: Vec<u64> = seen.try_iter().collect();
    assert_eq!(sizes.iter().sum::<u64>(), 4 + (512 << 10));
    assert!(sizes.iter().all(|&size| size <= 4000), "a millisecond's worth: {sizes:?}");
}

#[test]
fn a_file_that_was_cut_short_is_an_error_and_no_good_end() {
    let (events, told) = mpsc::channel();
    let file = file(&contents()).unwrap();
    let cut = file.try_clone().unwrap();
    let source = Arc::new(File::new(file).unwrap());
    cut.set_len(100_000).unwrap();
    let (addr, running) = serve(source, None, None, events);
    let end = receive(addr).map_err(|error| error.kind());
    assert_eq!(end, Err(ErrorKind::ConnectionReset));
    let event = told.recv_timeout(BOUND).unwrap();
    assert_eq!(event.flags, EventFlags::WRITING | EventFlags::ERROR);
    assert_eq!(event.error.unwrap().kind(), ErrorKind::UnexpectedEof);
    running.handle().shutdown(Shutdown::Now);
    running.join();
}

/// Tells what it reads, once all has come.
struct Collect(Sender<Vec<u8>>, usize);

impl Handler for Collect {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        let (mut input, _) = cx.buffers();
        if input.len() == self.1 {
            let mut bytes = vec![0; self.1];
            input.remove(&mut bytes);
            self.0.send(bytes).expect("the test listens");
        }
    }
}

#[test]
fn the_other_end_of_a_pair_reads_a_file_from_memory() {
    let (bytes, collected) = mpsc::channel();
    let source = Arc::new(File::new(file(&contents()).unwrap()).unwrap());
    let running = Runtime::builder().cores(1).build().unwrap().start().unwrap();
    running
        .handle()
        .submit_to(0, move |core| {
            let collect = Collect(bytes, 512 << 10);
            let (one, _) = core.pair(PairOptions::default(), (), collect);
            let mut one = core.get(one).expect("just made");
            one.output().add_source(source).expect("within the limit");
        })
        .unwrap();
    assert!(collected.recv_timeout(BOUND).unwrap() == contents());
    running.handle().shutdown(Shutdown::Now);
    running.join();
}
