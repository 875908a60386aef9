//! Messages on data channels: they reach whom they may, and nobody else.

use std::time::Duration;

use sfu_core::engine::command::Command;
use sfu_core::engine::event::Event;
use sfu_core::peer::sctp::Reliability;
use sim::browser::Section;
use sim::link::LinkConfig;
use sim::meeting::Meeting;
use sim::world::{Path, RemoteId};

const MS: Duration = Duration::from_millis(1);
const CHAT: &str = "chat";

/// Three browsers with a data channel each, over paths that lose a little.
fn three(seed: u64) -> (Meeting, [RemoteId; 3]) {
    let mut meeting = Meeting::new(seed);
    let sections = [Section::Channel(CHAT), Section::ReceiveAudio];
    let path = Path::both(LinkConfig::delayed(20 * MS).losing(0.02));
    let people = [(); 3].map(|()| meeting.join_browser(&sections, path.clone()));
    meeting.run_until_connected();
    meeting.run_for(2_000 * MS);
    (meeting, people)
}

fn say(meeting: &mut Meeting, who: RemoteId, text: &str) {
    let now = meeting.now();
    assert!(meeting.world.browser(who).send_message(CHAT, false, text.as_bytes(), now), "the channel is open");
}

fn heard(meeting: &mut Meeting, who: RemoteId) -> Vec<String> {
    let messages = std::mem::take(&mut meeting.world.browser(who).messages);
    messages
        .into_iter()
        .map(|message| {
            assert_eq!((message.label.as_str(), message.binary), (CHAT, false));
            String::from_utf8(message.payload).expect("text")
        })
        .collect()
}

#[test]
fn a_message_reaches_those_who_may_receive_it_in_order_and_nobody_else() {
    let (mut meeting, [alice, bob, carol]) = three(1);
    let (publisher, subscriber) = (meeting.peer(alice), meeting.peer(bob));
    meeting.command(Command::AllowData { publisher, subscriber });
    let texts: Vec<String> = (0..50).map(|number| format!("message {number}")).collect();
    for text in &texts {
        say(&mut meeting, alice, text);
        meeting.run_for(10 * MS);
    }
    meeting.run_for(3_000 * MS);
    assert_eq!(heard(&mut meeting, bob), texts);
    assert!(heard(&mut meeting, carol).is_empty() && heard(&mut meeting, alice).is_empty());
    let received = |event: &&Event| matches!(event, Event::DataReceived { peer, .. } if *peer == publisher);
    assert_eq!(meeting.world.server.events.iter().filter(received).count(), 50);
}

#[test]
fn after_the_right_is_taken_away_nothing_more_arrives() {
    let (mut meeting, [alice, bob, _]) = three(2);
    let (publisher, subscriber) = (meeting.peer(alice), meeting.peer(bob));
    meeting.command(Command::AllowData { publisher, subscriber });
    say(&mut meeting, alice, "before");
    meeting.run_for(1_000 * MS);
    assert_eq!(heard(&mut meeting, bob), ["before"]);
    meeting.command(Command::RevokeData { publisher, subscriber });
    say(&mut meeting, alice, "after");
    meeting.run_for(3_000 * MS);
    assert!(heard(&mut meeting, bob).is_empty());
}

#[test]
fn the_server_itself_can_speak() {
    let (mut meeting, [alice, ..]) = three(3);
    let (peer, label) = (meeting.peer(alice), CHAT.to_owned());
    meeting.command(Command::SendData { peer, publisher: None, label, payload: b"welcome".to_vec(), binary: false });
    meeting.run_for(1_000 * MS);
    assert_eq!(heard(&mut meeting, alice), ["welcome"]);
}

#[test]
fn a_browser_hears_on_a_channel_that_the_server_opens() {
    let (mut meeting, [alice, bob, _]) = three(5);
    let (publisher, peer) = (meeting.peer(alice), meeting.peer(bob));
    meeting.command(Command::AllowData { publisher, subscriber: peer });
    let label = "news".to_owned();
    meeting.command(Command::OpenData { peer, label, ordered: true, reliability: Reliability::Reliable });
    meeting.run_for(1_000 * MS);
    for (publisher, said) in [(None, "from the server"), (Some(publisher), "from Alice")] {
        let (label, payload) = ("news".to_owned(), said.as_bytes().to_vec());
        meeting.command(Command::SendData { peer, publisher, label, payload, binary: false });
    }
    meeting.run_for(1_000 * MS);
    let messages = std::mem::take(&mut meeting.world.browser(bob).messages);
    let told: Vec<_> = messages.iter().map(|told| (told.label.as_str(), told.payload.as_slice())).collect();
    assert_eq!(told, [("news", b"from the server".as_slice()), ("news", b"from Alice")]);
}

#[test]
fn who_is_removed_gets_no_message_after_that_even_of_those_that_wait() {
    let (mut meeting, [alice, bob, _]) = three(4);
    let (publisher, subscriber) = (meeting.peer(alice), meeting.peer(bob));
    meeting.command(Command::AllowData { publisher, subscriber });
    for number in 0..50 {
        say(&mut meeting, alice, &format!("{number} {}", "x".repeat(1_500)));
    }
    let mut before = 0;
    while before == 0 {
        meeting.run_for(10 * MS);
        before = heard(&mut meeting, bob).len();
    }
    meeting.command(Command::RemovePeer { peer: subscriber });
    // What was under way when he was removed arrives still.
    meeting.run_for(40 * MS);
    let under_way = heard(&mut meeting, bob).len();
    assert!(before + under_way < 50, "some wait");
    meeting.run_for(5_000 * MS);
    assert!(heard(&mut meeting, bob).is_empty());
}
