//! The measurements as a picture.

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;

/// Medians with their spread, over numbers of connections.
pub(crate) struct Line {
    pub(crate) name: String,
    /// Connections, and least, median and most of what was measured.
    pub(crate) points: Vec<(usize, [f64; 3])>,
}

/// Draws lines, in thousands of operations a second, over connections on a logarithmic scale.
pub(crate) fn draw(path: &Path, lines: &[Line]) -> Result<(), Box<dyn Error>> {
    let root = SVGBackend::new(path, (960, 600)).into_drawing_area();
    root.fill(&WHITE)?;
    let all = || lines.iter().flat_map(|line| &line.points);
    let top = all().map(|(_, [_, _, most])| most / 1e3).fold(0.0, f64::max) * 1.3;
    let most = all().map(|(connections, _)| *connections as f64).fold(1.0, f64::max) * 1.1;
    let mut chart = ChartBuilder::on(&root)
        .caption("random reads of 4 KiB, all connections in one loop on one thread", ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(60)
        .build_cartesian_2d((0.9..most).log_scale(), 0.0..top)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_desc("connections")
        .y_desc("thousand reads a second")
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| format!("{y:.0}"))
        .draw()?;
    for (number, line) in lines.iter().enumerate() {
        let colour = Palette99::pick(number).to_rgba();
        let medians = line.points.iter().map(|(x, [_, median, _])| (*x as f64, median / 1e3));
        chart
            .draw_series(LineSeries::new(medians.clone(), colour.stroke_width(2)))?
            .label(&line.name[..])
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 24, y)], colour.stroke_width(2)));
        chart.draw_series(medians.map(|at| Circle::new(at, 3, colour.filled())))?;
        chart.draw_series(line.points.iter().map(|(x, [least, _, most])| {
            PathElement::new([(*x as f64, least / 1e3), (*x as f64, most / 1e3)], colour.stroke_width(1))
        }))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .label_font(("sans-serif", 13))
        .draw()?;
    root.present()?;
    Ok(())
}
