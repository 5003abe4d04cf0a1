//! The porting chapter of the guide leaves nothing out.
//!
//! Owns the list of what a program on libevent's bufferevents calls: every name of the tables that
//! this runtime was made from, and of the functions which those presuppose. That what stands beside
//! a name is right the examples of the chapter show, which are compiled and run.

use std::collections::BTreeSet;

const CHAPTER: &str = include_str!("../guide/porting-from-libevent.md");

/// Names by table of the chapter: its heading, then what a row has to begin with.
const NAMES: &[(&str, &str)] = &[
    (
        "The base",
        "event_base_new event_base_loop event_base_dispatch event_base_loopexit \
         event_base_loopbreak event_base_free event_base_once evtimer_new event_add event_del \
         event_active evthread_use_pthreads",
    ),
    (
        "Every bufferevent",
        "bufferevent_socket_new bufferevent_free bufferevent_setcb bufferevent_getcb \
         bufferevent_enable bufferevent_disable bufferevent_get_enabled bufferevent_get_input \
         bufferevent_get_output bufferevent_write bufferevent_write_buffer bufferevent_read \
         bufferevent_read_buffer bufferevent_setwatermark bufferevent_getwatermark \
         bufferevent_set_timeouts bufferevent_flush bufferevent_trigger bufferevent_trigger_event \
         bufferevent_priority_set bufferevent_get_priority bufferevent_get_base \
         bufferevent_base_set bufferevent_get_underlying bufferevent_getfd bufferevent_setfd \
         bufferevent_replacefd bufferevent_lock bufferevent_unlock bufferevent_incref \
         bufferevent_decref \
         BEV_OPT_CLOSE_ON_FREE BEV_OPT_DEFER_CALLBACKS BEV_OPT_THREADSAFE BEV_OPT_UNLOCK_CALLBACKS \
         BEV_EVENT_READING BEV_EVENT_WRITING BEV_EVENT_EOF BEV_EVENT_ERROR BEV_EVENT_TIMEOUT \
         BEV_EVENT_CONNECTED",
    ),
    (
        "Connecting",
        "bufferevent_socket_connect bufferevent_socket_connect_hostname \
         bufferevent_socket_get_dns_error evdns_base_new",
    ),
    (
        "Pairs",
        "bufferevent_pair_new bufferevent_pair_get_partner bufferevent_flush bufferevent_free",
    ),
    (
        "Filters",
        "bufferevent_filter_new bufferevent_filter_cb dst_limit bufferevent_filter_result BEV_OK \
         BEV_NEED_MORE BEV_ERROR bufferevent_flush_mode BEV_NORMAL BEV_FLUSH BEV_FINISHED \
         bufferevent_setcb",
    ),
    (
        "The largest single read and write",
        "bufferevent_set_max_single_read bufferevent_set_max_single_write \
         bufferevent_get_max_single_read bufferevent_get_max_single_write",
    ),
    (
        "Limits",
        "EV_RATE_LIMIT_MAX ev_token_bucket_cfg_new ev_token_bucket_cfg_free \
         bufferevent_set_rate_limit bufferevent_get_token_bucket_cfg bufferevent_get_read_limit \
         bufferevent_get_write_limit \
         bufferevent_get_max_to_read bufferevent_get_max_to_write \
         bufferevent_decrement_read_limit bufferevent_decrement_write_limit",
    ),
    (
        "Groups",
        "bufferevent_rate_limit_group_new bufferevent_rate_limit_group_set_cfg \
         bufferevent_rate_limit_group_free bufferevent_add_to_rate_limit_group \
         bufferevent_remove_from_rate_limit_group bufferevent_rate_limit_group_get_read_limit \
         bufferevent_rate_limit_group_get_write_limit bufferevent_rate_limit_group_get_totals \
         bufferevent_rate_limit_group_reset_totals bufferevent_rate_limit_group_decrement_read \
         bufferevent_rate_limit_group_decrement_write bufferevent_rate_limit_group_set_min_share",
    ),
    (
        "Buffers",
        "evbuffer_new evbuffer_free evbuffer_get_length evbuffer_add evbuffer_add_printf \
         evbuffer_prepend evbuffer_prepend_buffer evbuffer_add_buffer evbuffer_remove_buffer \
         evbuffer_add_buffer_reference evbuffer_add_reference evbuffer_add_file \
         evbuffer_file_segment_new evbuffer_add_file_segment evbuffer_drain evbuffer_remove \
         evbuffer_copyout evbuffer_copyout_from evbuffer_pullup evbuffer_peek \
         evbuffer_get_contiguous_space evbuffer_reserve_space evbuffer_commit_space \
         evbuffer_expand evbuffer_search evbuffer_search_range evbuffer_search_eol \
         evbuffer_readln evbuffer_read evbuffer_write evbuffer_add_cb evbuffer_freeze \
         evbuffer_enable_locking evbuffer_lock",
    ),
    (
        "Listening",
        "evconnlistener_new evconnlistener_new_bind evconnlistener_free evconnlistener_get_base \
         evconnlistener_enable evconnlistener_disable evconnlistener_set_error_cb \
         evconnlistener_set_cb evconnlistener_get_fd LEV_OPT_CLOSE_ON_FREE LEV_OPT_CLOSE_ON_EXEC \
         LEV_OPT_REUSEABLE LEV_OPT_REUSEABLE_PORT LEV_OPT_THREADSAFE LEV_OPT_DISABLED \
         LEV_OPT_BIND_IPV6ONLY",
    ),
    (
        "TLS",
        "bufferevent_openssl_filter_new bufferevent_openssl_socket_new BUFFEREVENT_SSL_OPEN \
         BUFFEREVENT_SSL_CONNECTING BUFFEREVENT_SSL_ACCEPTING bufferevent_openssl_get_ssl \
         bufferevent_get_openssl_error bufferevent_ssl_renegotiate \
         bufferevent_openssl_get_allow_dirty_shutdown \
         bufferevent_openssl_set_allow_dirty_shutdown SSL_library_init SSL_load_error_strings \
         RAND_poll init_ssl_locking CRYPTO_set_locking_callback CRYPTO_set_id_callback",
    ),
];

/// What stands under a heading, up to the next.
fn section<'a>(chapter: &'a str, heading: &str) -> &'a str {
    let text = chapter.split("\n## ").find_map(|text| {
        let (first, rest) = text.split_once('\n')?;
        (first == heading).then_some(rest)
    });
    text.unwrap_or_else(|| panic!("the chapter has no heading `{heading}`"))
}

/// The names in the first cells of a section's rows whose second cell says something.
fn ported(section: &str) -> BTreeSet<&str> {
    let rows = section.lines().filter_map(|line| line.strip_prefix('|'));
    let answered = rows.filter_map(|row| {
        let mut cells = row.split('|');
        let (name, ours) = (cells.next()?, cells.next()?);
        (!ours.trim().is_empty()).then_some(name)
    });
    // Every other piece stands between backticks.
    answered.flat_map(|name| name.split('`').skip(1).step_by(2)).collect()
}

#[test]
fn every_function_of_libevent_has_its_row() {
    let mut missing = Vec::new();
    for (heading, names) in NAMES {
        let ported = ported(section(CHAPTER, heading));
        let lost = names.split_whitespace().filter(|name| !ported.contains(name));
        missing.extend(lost.map(|name| format!("{heading}: {name}")));
    }
    assert!(missing.is_empty(), "no row says what these are here:\n{}", missing.join("\n"));
}

#[test]
fn every_table_has_an_example() {
    // Single maxima are in the example of limits, which they go with.
    let without = "The largest single read and write";
    for (heading, _) in NAMES.iter().filter(|(heading, _)| *heading != without) {
        assert!(section(CHAPTER, heading).contains("\n```rust\n"), "{heading}: no example");
    }
}

#[test]
fn a_row_without_an_answer_does_not_count() {
    let section =
        "\n| libevent | here |\n|---|---|\n| `one`, `two` | `three` |\n| `four` | |\n`five`";
    assert_eq!(Vec::from_iter(ported(section)), ["one", "two"]);
}
