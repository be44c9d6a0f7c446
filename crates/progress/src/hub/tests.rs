use std::time::Duration;

use bytes::Bytes;
use tokio::time::{advance, timeout};

use super::{Hub, HubConfig};
use crate::event::{Event, Preview, Progress, StateChange};
use crate::stream::Subscription;

fn state(name: &str) -> Event {
    Event::State(StateChange { state: name.into(), message: None })
}

fn percent(fraction: f64) -> Event {
    Event::Progress(Progress { fraction, ..Progress::default() })
}

fn preview(text: &str) -> Event {
    Event::Preview(Preview { media_type: "image/png".into(), bytes: Bytes::copy_from_slice(text.as_bytes()) })
}

fn hub() -> Hub {
    Hub::new(HubConfig::default())
}

fn small(max_streams: usize) -> Hub {
    Hub::new(HubConfig { max_streams, max_log: 2, ..HubConfig::default() })
}

/// What is there without waiting, and whether the stream has ended.
async fn drain(subscription: &mut Subscription) -> (Vec<Event>, bool) {
    let mut events = Vec::new();
    let mut last = 0;
    loop {
        match timeout(Duration::from_millis(1), subscription.next()).await {
            Ok(Some(envelope)) => {
                assert!(envelope.seq > last, "sequence numbers rise");
                last = envelope.seq;
                events.push(envelope.event);
            }
            Ok(None) => return (events, true),
            Err(_) => return (events, false),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_subscriber_that_wakes_up_late_gets() {
    let cases: [(&[Event], &[Event]); 4] = [
        (&[], &[]),
        (&[state("a"), state("a"), state("b")], &[state("a"), state("a"), state("b")]),
        (&[percent(0.1), state("a"), percent(0.2), state("b")], &[state("a"), percent(0.2), state("b")]),
        (&[preview("1"), percent(0.1), preview("2"), percent(0.2)], &[preview("2"), percent(0.2)]),
    ];
    for (published, expect) in cases {
        let hub = hub();
        let mut early = hub.subscribe("s", None);
        for event in published {
            hub.publish("s", event.clone());
        }
        let mut late = hub.subscribe("s", None);
        assert_eq!(drain(&mut early).await, (expect.to_vec(), false));
        assert_eq!(drain(&mut late).await, (expect.to_vec(), false));
    }
}

#[tokio::test(start_paused = true)]
async fn progress_never_falls() {
    let hub = hub();
    let mut reader = hub.subscribe("s", None);
    for (given, told) in
        [(0.0, 0.0), (0.4, 0.4), (0.0, 0.4), (0.2, 0.4), (f64::NAN, 0.4), (0.5, 0.5), (1.0, 1.0)]
    {
        let progress = Progress { fraction: given, message: Some("waiting".into()), ..Progress::default() };
        hub.publish("s", Event::Progress(progress.clone()));
        let expect = Event::Progress(Progress { fraction: told, ..progress });
        assert_eq!(reader.next().await.map(|envelope| envelope.event), Some(expect), "after {given}");
    }
    hub.publish("other", percent(0.1));
    assert_eq!(drain(&mut hub.subscribe("other", None)).await.0, [percent(0.1)], "each stream for itself");
}

#[tokio::test(start_paused = true)]
async fn a_reader_on_time_gets_everything() {
    let hub = hub();
    let mut reader = hub.subscribe("s", None);
    for number in 0..5 {
        let event = percent(f64::from(number));
        let (got, ()) = tokio::join!(reader.next(), async { hub.publish("s", event.clone()) });
        assert_eq!(got.map(|envelope| envelope.event), Some(event));
    }
}

#[tokio::test(start_paused = true)]
async fn resuming_after_a_sequence_number() {
    let hub = hub();
    let mut first = hub.subscribe("s", None);
    hub.publish("s", state("a"));
    hub.publish("other", state("x"));
    hub.publish("s", state("b"));
    let seen = first.next().await.expect("published above").seq;

    for (after, expect) in [
        (None, vec![state("a"), state("b")]),
        (Some(0), vec![state("a"), state("b")]),
        (Some(seen), vec![state("b")]),
        (Some(seen + 2), vec![]),
        // From before a restart: the numbers haven't come so far yet.
        (Some(1000), vec![state("a"), state("b")]),
    ] {
        assert_eq!(drain(&mut hub.subscribe("s", after)).await, (expect, false), "after {after:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_closed_stream_is_read_to_its_end_and_kept_for_a_while() {
    let hub = hub();
    let mut waiting = hub.subscribe("s", None);
    hub.publish("s", state("running"));
    hub.publish("s", preview("1"));
    hub.publish("s", percent(0.9));
    hub.publish("s", state("succeeded"));
    hub.close("s");
    hub.publish("s", state("too late"));
    hub.close("s");

    let all = vec![state("running"), percent(0.9), state("succeeded")];
    assert_eq!(drain(&mut waiting).await, (all.clone(), true));
    assert_eq!(waiting.next().await, None);
    advance(Duration::from_secs(299)).await;
    assert_eq!(drain(&mut hub.subscribe("s", None)).await, (all, true));
    advance(Duration::from_secs(2)).await;
    assert_eq!(drain(&mut hub.subscribe("s", None)).await, (vec![], false));
}

#[tokio::test(start_paused = true)]
async fn closing_wakes_a_waiting_reader() {
    let hub = hub();
    let mut reader = hub.subscribe("s", None);
    let task = tokio::spawn(async move { reader.next().await });
    tokio::task::yield_now().await;
    hub.close("s");
    assert_eq!(task.await.expect("the task ends"), None);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_next_has_taken_nothing() {
    let hub = hub();
    let mut reader = hub.subscribe("s", None);
    assert!(timeout(Duration::from_millis(5), reader.next()).await.is_err());
    hub.publish("s", state("a"));
    // Made and dropped unpolled, with an event there to take.
    drop(reader.next());
    assert_eq!(drain(&mut reader).await, (vec![state("a")], false));
}

#[tokio::test(start_paused = true)]
async fn the_log_is_cut_for_late_subscribers_but_not_for_one_that_lags() {
    let hub = small(10);
    let mut lagging = hub.subscribe("s", None);
    for number in 0..20 {
        hub.publish("s", state(&number.to_string()));
    }
    assert_eq!(drain(&mut lagging).await.0.len(), 20);
    hub.publish("s", state("20"));
    assert_eq!(drain(&mut hub.subscribe("s", None)).await.0, [state("19"), state("20")]);

    // There is an end to that too.
    for number in 0..100 {
        hub.publish("s", state(&number.to_string()));
    }
    let (kept, _) = drain(&mut lagging).await;
    assert_eq!((kept.len(), kept.last()), (32, Some(&state("99"))));

    // One that went away holds nothing.
    drop(lagging);
    hub.publish("s", state("end"));
    assert_eq!(drain(&mut hub.subscribe("s", None)).await.0, [state("99"), state("end")]);
}

#[tokio::test(start_paused = true)]
async fn over_the_limit_closed_streams_go_first_then_the_longest_untouched() {
    let hub = small(3);
    for name in ["open-old", "closed", "open-new"] {
        advance(Duration::from_millis(1)).await;
        hub.publish(name, state("a"));
    }
    hub.close("closed");
    let mut old = hub.subscribe("open-old", None);
    advance(Duration::from_millis(1)).await;
    hub.publish("open-new", state("b"));

    hub.publish("x", state("a"));
    assert_eq!(drain(&mut old).await, (vec![state("a")], false), "the closed one made room");
    hub.publish("y", state("a"));
    assert_eq!(drain(&mut old).await, (vec![], true), "the oldest open one ended");
    let mut new = hub.subscribe("open-new", None);
    assert_eq!(drain(&mut new).await, (vec![state("a"), state("b")], false));
}

#[tokio::test(start_paused = true)]
async fn subscribing_to_many_names_in_vain_evicts_nobody() {
    let hub = small(3);
    hub.publish("s", state("a"));
    for number in 0..100 {
        drop(hub.subscribe(&number.to_string(), None));
    }
    assert_eq!(drain(&mut hub.subscribe("s", None)).await, (vec![state("a")], false));
}

#[tokio::test(start_paused = true)]
async fn a_stream_made_anew_goes_on_above_its_old_numbers() {
    let hub = small(1);
    hub.publish("s", state("a"));
    let seen = hub.subscribe("s", None).next().await.expect("published above").seq;
    hub.publish("other", state("x"));
    hub.publish("s", state("b"));
    assert_eq!(drain(&mut hub.subscribe("s", Some(seen))).await.0, [state("b")]);
}

#[tokio::test(start_paused = true)]
async fn a_preview_over_the_limit_is_left_out() {
    let hub = Hub::new(HubConfig { max_preview_bytes: 4, ..HubConfig::default() });
    hub.publish("s", preview("1234"));
    hub.publish("s", preview("12345"));
    assert_eq!(drain(&mut hub.subscribe("s", None)).await.0, [preview("1234")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_readers_of_a_busy_stream_all_get_every_state() {
    let hub = hub();
    let readers: Vec<_> = (0..8)
        .map(|_| {
            let mut reader = hub.subscribe("s", None);
            tokio::spawn(async move {
                let mut states = 0;
                while let Some(envelope) = reader.next().await {
                    states += usize::from(matches!(envelope.event, Event::State(_)));
                }
                states
            })
        })
        .collect();
    for number in 0..100 {
        hub.publish("s", state(&number.to_string()));
        for step in 0..10 {
            hub.publish("s", percent(f64::from(step)));
        }
        tokio::task::yield_now().await;
    }
    hub.close("s");
    for reader in readers {
        assert_eq!(reader.await.expect("the reader ends"), 100);
    }
}
