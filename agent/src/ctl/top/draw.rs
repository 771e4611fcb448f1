//! What the terminal shows.

use super::rows::{Column, Row, Tone, columns};
use super::state::{Mode, State, View};
use crate::core::Timestamp;
use crate::ctl::render::age;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Row as Drawn, Table};

/// Columns between two columns.
const GAP: u16 = 2;

/// The least that the last column is worth showing with.
const LEAST: usize = 12;

/// Draws everything: what holds for the whole balancer, the views, the rows of one, and a line for what the keys do.
pub(super) fn draw(state: &State, now: Timestamp, frame: &mut Frame<'_>) {
    let lines = [Constraint::Length(1), Constraint::Length(1), Constraint::Min(1), Constraint::Length(1)];
    let [head, views, body, foot] = Layout::vertical(lines).areas(frame.area());
    frame.render_widget(Paragraph::new(summary(state, now)), head);
    frame.render_widget(Paragraph::new(tabs(state)), views);
    table(state, now, body, frame);
    frame.render_widget(Paragraph::new(footer(state, usize::from(foot.width))), foot);
}

fn style(tone: Tone) -> Style {
    match tone {
        Tone::Good => Style::new().fg(Color::Green),
        Tone::Odd => Style::new().fg(Color::Yellow),
        Tone::Bad => Style::new().fg(Color::Red),
        Tone::Plain => Style::new(),
    }
}

fn strong() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

/// The balancer in one line; that lvsd is away goes before.
fn summary(state: &State, now: Timestamp) -> Line<'static> {
    if let Some(problem) = &state.problem {
        let stale = format!("! stale since {} ({} ago): {problem}", state.at, age(now, state.at));
        return Line::styled(stale, style(Tone::Bad));
    }
    let status = &state.seen.status;
    let backends =
        || status.services.iter().flat_map(|service| &service.pools).flat_map(|pool| &pool.backends);
    let pooled = backends().filter(|backend| backend.standing == "pooled").count();
    let announced = status.vips.iter().filter(|vip| vip.announced).count();
    let established = status.peers.iter().filter(|peer| peer.address.is_some()).count();
    let part = |text: String, is_good: bool| {
        Span::styled(format!("  {text}"), style(if is_good { Tone::Good } else { Tone::Odd }))
    };
    let (all, vips, peers) = (backends().count(), status.vips.len(), status.peers.len());
    let mut parts = vec![
        Span::styled(format!("lvsd {}", status.phase), strong()),
        Span::raw(format!("  {} services", status.services.len())),
        part(format!("{pooled}/{all} pooled"), pooled == all),
        part(format!("VIPs {announced}/{vips}"), announced == vips),
        part(format!("BGP {established}/{peers}"), established == peers),
    ];
    if status.dry_run {
        parts.push(part("dry run".into(), false));
    }
    if let Some(drain) = &status.drain {
        parts.push(part(format!("balancer {}", drain.stage), false));
    }
    Line::from(parts)
}

fn tabs(state: &State) -> Line<'static> {
    let mut parts = Vec::new();
    for (index, view) in View::ALL.into_iter().enumerate() {
        let style = if view == state.view { strong().add_modifier(Modifier::REVERSED) } else { Style::new() };
        parts.push(Span::styled(format!(" {} {} ", index + 1, view.title()), style));
    }
    if let Some(only) = &state.only {
        parts.push(Span::raw(format!(" of {only}")));
    }
    if !state.search.is_empty() || state.mode == Mode::Search {
        let end = if state.mode == Mode::Search { "_" } else { "" };
        parts.push(Span::styled(format!("  /{}{end}", state.search), strong()));
    }
    Line::from(parts)
}

fn table(state: &State, now: Timestamp, area: Rect, frame: &mut Frame<'_>) {
    let rows = state.rows(now);
    if rows.is_empty() {
        frame.render_widget(Paragraph::new("nothing here"), area);
        return;
    }
    // The heading takes one line.
    let height = usize::from(area.height).saturating_sub(1).max(1);
    let begin = state.selected.saturating_sub(height / 2).min(rows.len().saturating_sub(height));
    let window = &rows[begin..rows.len().min(begin + height)];
    let columns = columns(state.view);
    let (kept, widths) = fit(columns, window, usize::from(area.width));
    let heading = Drawn::new(kept.iter().map(|&at| columns[at].title)).style(strong());
    let drawn = window.iter().enumerate().map(|(index, row)| {
        let style = match begin + index == state.selected {
            true => style(row.tone).add_modifier(Modifier::REVERSED),
            false => style(row.tone),
        };
        Drawn::new(kept.iter().map(|&at| row.cells[at].clone())).style(style)
    });
    let table = Table::new(drawn, widths).header(heading).column_spacing(GAP);
    frame.render_widget(table, area);
}

/// The columns for which there is room, and how wide each is; the last takes what is left.
fn fit(columns: &[Column], rows: &[Row], width: usize) -> (Vec<usize>, Vec<Constraint>) {
    let wide = |at: usize| {
        let cells = rows.iter().map(|row| row.cells[at].chars().count());
        cells.max().unwrap_or_default().max(columns[at].title.len())
    };
    let widths: Vec<usize> = (0..columns.len()).map(wide).collect();
    let last = columns.len().saturating_sub(1);
    let needed = |kept: &[usize]| {
        let others = kept.iter().filter(|at| **at != last).map(|at| widths[*at] + usize::from(GAP));
        others.sum::<usize>() + widths[last].min(LEAST)
    };
    let mut kept: Vec<usize> = (0..columns.len()).collect();
    while needed(&kept) > width {
        let least =
            kept.iter().copied().filter(|at| columns[*at].rank > 0).max_by_key(|at| columns[*at].rank);
        let Some(least) = least else { break };
        kept.retain(|at| *at != least);
    }
    let constraint = |at: &usize| match *at == last {
        true => Constraint::Fill(1),
        false => Constraint::Length(u16::try_from(widths[*at]).unwrap_or(u16::MAX)),
    };
    let constraints = kept.iter().map(constraint).collect();
    (kept, constraints)
}

fn footer(state: &State, width: usize) -> Line<'static> {
    match (&state.mode, &state.told) {
        (Mode::Confirm(order, services), _) => {
            let question = format!("{} {} in {}? y/N", order.wish.word(), order.host, services.join(", "));
            // The answer must be seen to be waited for, however many services there are.
            let short = format!("{} {} in {} services? y/N", order.wish.word(), order.host, services.len());
            let question = if question.chars().count() <= width { question } else { short };
            Line::styled(question, style(Tone::Odd).add_modifier(Modifier::BOLD))
        }
        (Mode::Search, _) => Line::raw("type what to search for; Enter keeps it, Esc clears it"),
        (Mode::Move, Some(Ok(told))) => Line::styled(told.clone(), strong()),
        (Mode::Move, Some(Err(told))) => Line::styled(told.clone(), style(Tone::Bad)),
        (Mode::Move, None) => {
            Line::raw("q quit  Tab view  j/k move  / search  d depool  p pool  Enter open  Esc back")
        }
    }
}
