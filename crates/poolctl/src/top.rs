//! `poolctl top`: the pool in a terminal, as it changes.
//!
//! Rule: what is drawn is a function of the last picture, what happened since the first, and how far the reader has scrolled.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use pool_client::{Api, ApiError};
use pool_core::changes;
use pool_core::time::Timestamp;
use ratatui::Frame;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Paragraph, Row, Table, TableState};
use serde_json::Value;

use crate::api::show::{COUNTS, note, text, usd};

/// What happened, of which so much is remembered.
const EVENTS_MAX: usize = 500;
/// How long a key may wait to be seen.
const KEY_POLL: Duration = Duration::from_millis(50);

/// Why there is nothing to look at.
#[derive(Debug, thiserror::Error)]
pub enum TopError {
    /// The first question came to nothing.
    #[error(transparent)]
    Asked(#[from] ApiError),
    /// There is no terminal to draw on.
    #[error("top draws on a terminal, and this is none ({0}); use status and instances instead")]
    NoTerminal(#[from] io::Error),
}

/// What is on the screen.
#[derive(Debug, Default)]
struct Screen {
    pool: Value,
    events: VecDeque<(Timestamp, String)>,
    /// Why the last question came to nothing.
    trouble: Option<String>,
    instances: TableState,
}

/// Shows the pool, asked each so often, until the reader presses `q`.
///
/// # Errors
/// When the pool does not answer the first time, or there is no terminal.
pub async fn top(api: &Api, every: Duration, now: impl Fn() -> Timestamp) -> Result<(), TopError> {
    let mut screen = Screen { pool: api.pool().await?, ..Screen::default() };
    // It is drawn on whatever happens to be there, and taken away again however this ends.
    let mut terminal = ratatui::try_init()?;
    let watched = watch(api, every, now, &mut screen, &mut terminal).await;
    ratatui::restore();
    Ok(watched?)
}

async fn watch(
    api: &Api,
    every: Duration,
    now: impl Fn() -> Timestamp,
    screen: &mut Screen,
    terminal: &mut ratatui::DefaultTerminal,
) -> io::Result<()> {
    loop {
        let mut asked = std::pin::pin!(async {
            tokio::time::sleep(every).await;
            api.pool().await
        });
        let answer = loop {
            terminal.draw(|frame| draw(frame, screen))?;
            // The wait for a key is short, and the question goes on between two.
            if event::poll(Duration::ZERO)? && screen.take(&event::read()?) {
                return Ok(());
            }
            if let Ok(answer) = tokio::time::timeout(KEY_POLL, asked.as_mut()).await {
                break answer;
            }
        };
        screen.hear(answer, now());
    }
}

impl Screen {
    fn hear(&mut self, answer: Result<Value, ApiError>, now: Timestamp) {
        match answer {
            Ok(pool) => {
                self.events.extend(changes::between(&self.pool, &pool).into_iter().map(|what| (now, what)));
                while self.events.len() > EVENTS_MAX {
                    self.events.pop_front();
                }
                self.pool = pool;
                self.trouble = None;
            }
            // What was seen last stays on the screen.
            Err(error) => self.trouble = Some(error.to_string()),
        }
    }

    /// Takes a key in; `true` is the end.
    fn take(&mut self, event: &Event) -> bool {
        let Event::Key(KeyEvent { code, modifiers, kind: KeyEventKind::Press, .. }) = event else { return false };
        match code {
            KeyCode::Char('q') | KeyCode::Esc => return true,
            KeyCode::Char('c') if modifiers.contains(KeyModifiers::CONTROL) => return true,
            KeyCode::Down | KeyCode::Char('j') => self.instances.scroll_down_by(1),
            KeyCode::Up | KeyCode::Char('k') => self.instances.scroll_up_by(1),
            KeyCode::PageDown => self.instances.scroll_down_by(20),
            KeyCode::PageUp => self.instances.scroll_up_by(20),
            KeyCode::Home => self.instances.select_first(),
            KeyCode::End => self.instances.select_last(),
            _ => {}
        }
        false
    }
}

fn draw(frame: &mut Frame, screen: &mut Screen) {
    let shards = screen.pool["shards"].as_array().map_or(0, Vec::len);
    // A pool of one shard has nothing to say beside its sums.
    let shard_rows = if shards > 1 { u16::try_from(shards.min(8)).unwrap_or(8) + 2 } else { 0 };
    let parts = [
        Constraint::Length(3),
        Constraint::Length(shard_rows),
        Constraint::Min(5),
        Constraint::Max(10),
        Constraint::Length(1),
    ];
    let [head, middle, instances, events, foot] = Layout::vertical(parts).areas(frame.area());
    draw_head(frame, head, screen);
    if shard_rows > 0 {
        draw_shards(frame, middle, &screen.pool["shards"]);
    }
    draw_instances(frame, instances, screen);
    draw_events(frame, events, screen);
    let keys = "q ends   up, down, page up, page down, home, end scroll";
    frame.render_widget(Paragraph::new(keys).style(Style::new().add_modifier(Modifier::DIM)), foot);
}

fn draw_head(frame: &mut Frame, area: Rect, screen: &Screen) {
    let pool = &screen.pool;
    let mut counts: Vec<Span<'_>> = vec![Span::styled(text(&pool["pool"]), Modifier::BOLD)];
    for name in ["free", "leased", "waiting", "booting", "leaving", "stopped", "capacity"] {
        counts.push(Span::raw(format!("   {name} ")));
        counts.push(Span::styled(text(&pool["totals"][name]), Modifier::BOLD));
    }
    let cost = usd(&pool["measures"]["usd_per_hour"]);
    if !cost.is_empty() {
        counts.push(Span::raw(format!("   {cost} an hour")));
    }
    let why = [&pool["growth"]["why"], &pool["growth"]["launching_stopped"]].map(text);
    let why = why.iter().filter(|part| !part.is_empty()).cloned().collect::<Vec<_>>().join("; ");
    let trouble = screen.trouble.clone().unwrap_or_default();
    let lines = [Line::from(counts), Line::raw(why), Line::styled(trouble, Color::Red)];
    frame.render_widget(Paragraph::new(Vec::from(lines)), area);
}

fn draw_shards(frame: &mut Frame, area: Rect, shards: &Value) {
    let header = ["shard", "room"].into_iter().chain(COUNTS);
    let lines = shards.as_array().map_or(&[][..], Vec::as_slice);
    let rows = lines.iter().map(|line| Row::new(header.clone().map(|name| text(&line[name])).collect::<Vec<_>>()));
    let table = Table::new(rows, [Constraint::Length(9); 9]).header(heads(header.clone()));
    frame.render_widget(table, area);
}

fn draw_instances(frame: &mut Frame, area: Rect, screen: &mut Screen) {
    let columns = [22, 10, 20, 7, 12, 10, 12, 6];
    let fields = ["instance_id", "state", "since", "leases_served", "instance_type", "market", "zone", "shard"];
    let lines = screen.pool["instances"].as_array().map_or(&[][..], Vec::as_slice);
    let rows = lines.iter().map(|line| {
        let cells = fields.into_iter().map(|field| text(&line[field])).chain([note(line).to_owned()]);
        Row::new(cells.collect::<Vec<_>>()).style(color(line["state"].as_str().unwrap_or_default()))
    });
    let widths = columns.into_iter().map(Constraint::Length).chain([Constraint::Fill(1)]);
    let names = ["instance", "state", "since", "leases", "type", "market", "zone", "shard", "note"];
    let title = format!(" instances: {} ", lines.len());
    let table = Table::new(rows, widths)
        .header(heads(names.into_iter()))
        .block(Block::new().borders(Borders::TOP).title(title))
        .row_highlight_style(Modifier::REVERSED);
    frame.render_stateful_widget(table, area, &mut screen.instances);
}

fn draw_events(frame: &mut Frame, area: Rect, screen: &Screen) {
    let newest = screen.events.iter().rev().take(usize::from(area.height));
    let lines: Vec<Line<'_>> = newest.map(|(at, what)| Line::raw(format!("{at}  {what}"))).collect();
    let block = Block::new().borders(Borders::TOP).title(" events, the newest first ");
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn heads<'a>(names: impl Iterator<Item = &'a str>) -> Row<'static> {
    Row::new(names.map(str::to_uppercase).collect::<Vec<_>>()).style(Modifier::BOLD)
}

/// Beside the word, for those who see it.
fn color(state: &str) -> Style {
    match state {
        "free" => Color::Green.into(),
        "leased" => Color::Cyan.into(),
        "booting" | "resetting" => Color::Yellow.into(),
        "leaving" | "moving" => Color::Red.into(),
        _ => Style::new(),
    }
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use serde_json::json;

    use super::*;

    fn pool(states: &[&str]) -> Value {
        let line = |(number, state): (usize, &&str)| {
            json!({ "instance_id": format!("i-{number}"), "state": state, "since": "2026-11-28T12:00:00Z", "leases_served": 3,
                    "instance_type": "t3.medium", "market": "spot", "zone": "us-east-1a", "shard": 0 })
        };
        json!({
            "pool": "mine",
            "totals": { "free": 1, "leased": 2, "waiting": 7 },
            "growth": { "why": "because", "launching_stopped": "paused: lunch" },
            "measures": { "usd_per_hour": 0.0167 },
            "instances": states.iter().enumerate().map(line).collect::<Vec<_>>(),
        })
    }

    fn drawn(screen: &mut Screen) -> String {
        let mut terminal = Terminal::new(TestBackend::new(110, 24)).expect("it is memory");
        terminal.draw(|frame| draw(frame, screen)).expect("it is memory");
        terminal.backend().to_string()
    }

    #[test]
    fn the_screen_has_counts_instances_and_what_happened() {
        let mut screen = Screen { pool: pool(&["free", "leased"]), ..Screen::default() };
        screen.hear(Ok(pool(&["leased", "leased", "booting"])), Timestamp(0));
        let seen = drawn(&mut screen);
        for part in [
            "waiting 7",
            "about $0.017 an hour",
            "because; paused: lunch",
            "i-1 ",
            "t3.medium",
            "instances: 3",
            "i-0: free -> leased",
            "i-2 is new",
        ] {
            assert!(seen.contains(part), "{part} is missing:\n{seen}");
        }
    }

    #[test]
    fn a_pool_that_does_not_answer_leaves_the_last_picture() {
        let mut screen = Screen { pool: pool(&["free"]), ..Screen::default() };
        screen.hear(Err(ApiError::NoRegion), Timestamp(0));
        let seen = drawn(&mut screen);
        assert!(seen.contains("i-0 ") && seen.contains(&ApiError::NoRegion.to_string()[..20]), "{seen}");
    }

    #[test]
    fn keys_scroll_and_end_it() {
        let mut screen = Screen { pool: pool(&["free"; 100]), ..Screen::default() };
        let key = |code| Event::Key(KeyEvent::new(code, KeyModifiers::NONE));
        drawn(&mut screen);
        assert!(!screen.take(&key(KeyCode::End)));
        assert!(drawn(&mut screen).contains("i-99 "));
        assert!(!screen.take(&key(KeyCode::Home)));
        assert!(drawn(&mut screen).contains("i-0 "));
        assert!(screen.take(&key(KeyCode::Char('q'))));
        assert!(screen.take(&Event::Key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL))));
    }
}
