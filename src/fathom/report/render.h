// A report in every format. None of these reads or writes a file; what is printed or saved is the
// caller's business.
#pragma once

#include <string>

#include "fathom/report/report.h"

namespace fathom::report {

enum class Format { kTerminal, kMarkdown, kJson, kHtml, kSvg, kPng };

struct TerminalOptions {
  int width = 80;       // columns; fewer than 20 count as 20
  bool colour = false;  // ANSI colours; without them signs tell things apart
  // For a file or another program: of tables no column is left out and nothing folded.
  bool keeps_all = false;
};

// Tables, plots of braille dots (several lines without colours: of signs), bars of blocks; ends in
// a newline, has no control character but newlines and, with colours, ANSI sequences.
std::string render_terminal(const Report& report, const TerminalOptions& options = {});
// Tables are tables, coloured text is a code block; plots and bars become tables, of every point
// where all lines have the same few, else of the first, lowest, highest and last of each line; a
// graph is a table of its nodes, here and in a terminal.
std::string render_markdown(const Report& report);
// `values`, or the parts with every number in full: null for NaN, "Infinity" and "-Infinity". Bytes
// that are no text are \xNN.
std::string render_json(const Report& report);
// A text for a program: what is no text as \xNN, so that it can be put together again; line breaks
// and tabs as they are. For the texts in `Report::values`.
std::string json_word(const std::string& text);
// One page, without scripts or anything from elsewhere, for dark and light. What a run of text has
// as its detail shows on hover and on keyboard focus.
std::string render_html(const Report& report);
// One picture, 760 units wide or as wide as its tables; dark where the viewer is. It and a page
// throw Error where they have a graph and Graphviz is not installed or fails.
std::string render_svg(const Report& report);
// By gnuplot, its plots, bars and graphs below one another, as the bytes of a PNG. Throws Error
// where gnuplot is not installed or fails, and where there is none of them.
std::string render_png(const Report& report);
// Throw Error(kUsage) where there is no gnuplot, no Graphviz: before the work whose outcome is to
// be drawn.
void require_gnuplot();
void require_graphviz();

std::string render(const Report& report, Format format, const TerminalOptions& options = {});

}  // namespace fathom::report
