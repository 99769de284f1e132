//! Figures as files: SVG, and the same drawn as PNG.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb};
use scout40_replay::format::temporary_name;

use super::{Plot, PlotError, Saved, figure, text};

/// Pixels of a PNG per pixel of the figure: sharp on a projector.
const SCALE: f64 = 2.0;

/// Our font only, so that a figure looks the same everywhere.
static OPTIONS: LazyLock<Options<'static>> = LazyLock::new(|| {
    let mut fonts = fontdb::Database::new();
    fonts.load_font_data(text::FONT.to_vec());
    Options { fontdb: Arc::new(fonts), ..Options::default() }
});

/// Writes both files under temporary names, then gives them theirs.
pub(super) fn save(plot: &Plot, stem: &Path) -> Result<Saved, PlotError> {
    let svg = figure::draw(plot)?;
    let png = png(plot, &svg)?;
    let saved = Saved::of(stem);
    let files = [(&saved.svg, svg.as_bytes()), (&saved.png, png.as_slice())];
    let written = files.iter().try_for_each(|(path, bytes)| {
        let write = std::fs::write(temporary_name(path), bytes);
        write.map_err(|source| PlotError::Write { path: path.to_path_buf(), source })
    });
    let renamed = written.and_then(|()| {
        files.iter().try_for_each(|(path, _)| {
            let rename = std::fs::rename(temporary_name(path), path);
            rename.map_err(|source| PlotError::Write { path: path.to_path_buf(), source })
        })
    });
    if renamed.is_err() {
        // What cannot be removed still has a name that says that it is unfinished.
        files.iter().for_each(|(path, _)| drop(std::fs::remove_file(temporary_name(path))));
    }
    renamed.map(|()| saved)
}

fn png(plot: &Plot, svg: &str) -> Result<Vec<u8>, PlotError> {
    let failed = |problem: String| PlotError::Render { title: plot.title.clone(), problem };
    let tree = Tree::from_str(svg, &OPTIONS).map_err(|e| failed(e.to_string()))?;
    let size = |length: f64| (length * SCALE) as u32;
    let (width, height) = (size(figure::WIDTH), size(figure::HEIGHT));
    let mut pixels = Pixmap::new(width, height).ok_or_else(|| failed("no pixels".to_owned()))?;
    let transform = Transform::from_scale(SCALE as f32, SCALE as f32);
    resvg::render(&tree, transform, &mut pixels.as_mut());
    pixels.encode_png().map_err(|e| failed(e.to_string()))
}
