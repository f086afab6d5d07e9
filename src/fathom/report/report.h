// What a study or a verb has to say, as one value: parts in order, which report/render.h shows in a
// terminal, as Markdown, JSON, HTML, SVG or PNG. Every text may come from anywhere; to make it fit
// for a format is the format's business.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace fathom::report {

// Where a part is shown. JSON has all parts.
inline constexpr unsigned kInTerminal = 1, kInMarkdown = 2, kInHtml = 4, kInSvg = 8;
inline constexpr unsigned kEverywhere = kInTerminal | kInMarkdown | kInHtml | kInSvg;

struct Heading {
  std::string text;
  int level = 1;  // 1 to 3
};

struct Paragraph {
  std::string text;  // line breaks are kept
};

// How numbers are read by people; JSON has them in full.
struct NumberForm {
  enum class Kind {
    kGeneral,  // `digits` significant ones
    kFixed,    // `digits` behind the point
    kPercent,  // of a share: 0.25 is "25.0 %", with `digits` behind the point
    kCount,    // "1,234,567"
  };
  Kind kind = Kind::kGeneral;
  int digits = 4;
};

// Nothing, a number or a text.
struct Cell {
  enum class Kind { kNothing, kWhole, kNumber, kText } kind = Kind::kNothing;
  int64_t whole = 0;
  double number = 0;
  std::string text;
  bool marked = false;  // underlined

  Cell() = default;
  Cell(int given) : Cell(int64_t{given}) {}
  Cell(int64_t given) : kind(Kind::kWhole), whole(given) {}
  Cell(size_t given) : Cell(static_cast<int64_t>(given)) {}
  Cell(double given) : kind(Kind::kNumber), number(given) {}
  Cell(std::string given) : kind(Kind::kText), text(std::move(given)) {}
  Cell(const char* given) : Cell(std::string(given)) {}
};

enum class Align { kLeft, kRight };

// What gives way where a terminal is narrower than a table. Numbers never do. Where there is no
// terminal, what is not whole is cut.
enum class Narrow {
  kCut,      // ends in an ellipsis
  kFold,     // goes on below, at - _ . , / or a space where it has them: what is to be recognised
  kWhole,    // stays as it is, for it is to be typed; folded only where the table would break else
  kLeftOut,  // is not shown, the rightmost such column first, before anything else gives way
};

struct Column {
  std::string name;
  Align align = Align::kRight;
  NumberForm form = {};
  std::string unit = {};  // behind the name: "seconds"
  Narrow narrow = Narrow::kCut;
};

struct Table {
  std::string title;
  std::vector<Column> columns;
  std::vector<std::vector<Cell>> rows;  // shorter ones end in nothing
  bool header = true;                   // false: the first column names the rows
};

// Signs at the points of a line, beside its colour and its dashes. Lists are as long as y; empty:
// the points are not told apart in this.
struct Marks {
  std::vector<size_t> shapes = {};  // numbers of Plot::shapes
  std::vector<double> shades = {};  // places on the scale of colours, first (0) to last (1)
  bool ends = false;                // the first point has a ring around it, the last one a cross

  bool at_points() const { return !shapes.empty() || !shades.empty(); }
};

// Points in the order in which they are joined. A point that is not finite, or that a logarithmic
// axis cannot show, is a gap. `low` and `high` are the band around y, as long as it; empty: none.
struct Line {
  std::string name;
  std::vector<double> x, y;
  std::vector<double> low = {}, high = {};
  Marks marks = {};
};

struct Axis {
  std::string label;
  bool log = false;
};

// What the shades of marks say: what it is that grows, and its least and greatest.
struct ShadeKey {
  std::string label, first, last;
};

struct Plot {
  std::string title;
  Axis x, y;
  std::vector<Line> lines;
  std::vector<std::string> shapes = {};  // what each shape of marks stands for
  std::optional<ShadeKey> shades = {};
};

// A bar a name; bins of a histogram have their edges for names.
struct Bars {
  std::string title;
  std::vector<std::string> names;
  std::vector<double> values;  // not finite: no bar
  NumberForm form = {};
};

// What is shown of a piece of text when it is pointed at: a sentence, and rows of cells.
struct Detail {
  enum class Kind { kPlain, kCode, kNumber };
  struct Word {
    std::string text;
    Kind kind = Kind::kPlain;
  };
  std::vector<Word> sentence;  // one after the other
  std::vector<std::vector<Word>> rows;
  std::optional<size_t> strong_row;
};

struct TextRun {
  std::string text;
  // Which colour: one of ColouredText::categories, or a place on a scale from the first (0) to the
  // last (1).
  std::optional<size_t> category = std::nullopt;
  std::optional<double> shade = std::nullopt;
  bool marked = false;                          // underlined
  std::optional<Detail> detail = std::nullopt;  // in HTML
};

struct ColouredText {
  struct Category {
    std::string name;  // "layer 3"
    char sign = '?';   // stands below the text where there are no colours
  };
  std::vector<TextRun> runs;
  std::vector<Category> categories;  // from the first colour of the scale to the last
  std::string legend;                // "answered by": before the categories' names
  std::string mark;                  // "wrong": what is underlined
};

// A directed graph. Pictures of it are placed by Graphviz (report/graph_layout.h); where there are
// none it is a table of its nodes and of what leads to each.
struct Graph {
  struct Node {
    std::string name;                     // the first line of its box, and what edges call it
    std::vector<std::string> lines = {};  // below it
    std::optional<double> shade = std::nullopt;  // a place on the scale of colours; none: no colour
    bool marked = false;                         // a thicker frame
  };
  struct Edge {
    size_t from = 0, to = 0;  // numbers of nodes; others are left out
    std::string label = {};
  };
  std::string title;
  std::vector<Node> nodes;
  std::vector<Edge> edges;
};

struct Part {
  std::variant<Heading, Paragraph, Table, Plot, Bars, ColouredText, Graph> body;
  unsigned shown_in = kEverywhere;
};

struct Report {
  std::string title;  // of a page or a picture; a terminal and Markdown have only the parts
  // What programs get for JSON, where the study has numbers that its parts show only in part; null:
  // the parts themselves.
  nlohmann::json values;
  std::vector<Part> parts;

  template <class Body>
  void add(Body body, unsigned shown_in = kEverywhere) {
    parts.push_back({std::move(body), shown_in});
  }
};

// Whether the first part of a page is a picture that has its title already.
bool repeats_title(const Report& report, unsigned shown_in);

// As people read it; "-" for nothing and what is not a number.
std::string shown(double number, const NumberForm& form);
std::string shown(const Cell& cell, const NumberForm& form);

// A row a node: its name, its lines, and the nodes that lead to it with their edges' labels.
Table table_of(const Graph& graph);

// A colour of the scale of categories and shades, 0 to 1: from pale yellow to blue, ever darker,
// and light enough for dark letters. Nothing of it is red or green.
struct Colour {
  int red = 0, green = 0, blue = 0;
};
Colour scale_colour(double place);
int scale_terminal_colour(double place);  // of the 256
char shade_digit(double place);           // '0' to '9', for where there are no colours
// Where a run's colour stands on the scale; nothing: it has none.
std::optional<double> scale_place(const ColouredText& text, const TextRun& run);
// The sign of a run's colour for where there are none; a shade's is a digit. ' ': it has no colour.
char sign_of(const ColouredText& text, const TextRun& run);

}  // namespace fathom::report
