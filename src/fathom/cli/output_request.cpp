#include "fathom/cli/output_request.h"

#include <fmt/format.h>

#include <cctype>
#include <cstdio>
#include <filesystem>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/base/visible.h"
#include "fathom/io/files.h"
#include "fathom/track/terminal.h"

namespace fathom {
namespace {

// Two names of one file, which need not be there yet; an empty one is none.
bool is_same_file(const std::string& a, const std::string& b) {
  namespace fs = std::filesystem;
  if (a.empty() || b.empty()) return false;
  std::error_code error;
  if (fs::equivalent(a, b, error)) return true;
  return fs::absolute(a, error).lexically_normal() == fs::absolute(b, error).lexically_normal();
}

report::Format format_of(const std::string& output) {
  std::string ending = std::filesystem::path(output).extension();
  for (char& c : ending) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  if (ending == ".html" || ending == ".htm") return report::Format::kHtml;
  if (ending == ".json") return report::Format::kJson;
  if (ending == ".md") return report::Format::kMarkdown;
  if (ending == ".svg") return report::Format::kSvg;
  if (ending == ".png") return report::Format::kPng;
  for (const char* picture :
       {".pdf", ".jpg", ".jpeg", ".gif", ".webp", ".eps", ".ps", ".bmp", ".tif", ".tiff"})
    if (ending == picture)
      misuse(fmt::format("{} is called {}, and no such picture is drawn", visible(output), ending),
             "name it .svg, .png or .html, or say --format");
  return report::Format::kTerminal;
}

}  // namespace

void add_fields(FieldList& list, OutputRequest& output) {
  list.section("output");
  list.add<report::Format>("format", output.format,
                           "terminal, markdown, json, html, svg, or png by gnuplot; not given: as "
                           "the output's name ends",
                           {{"terminal", report::Format::kTerminal},
                            {"markdown", report::Format::kMarkdown},
                            {"json", report::Format::kJson},
                            {"html", report::Format::kHtml},
                            {"svg", report::Format::kSvg},
                            {"png", report::Format::kPng}});
  list.add("json", output.json, "print one JSON object: the same as format = json");
  list.add("output", output.output, "a file; empty: the console").path().alias("out");
}

void settle(const FieldList& list, OutputRequest& output) {
  if (output.json && list.given("format") && output.format != report::Format::kJson)
    misuse("json and format name two formats", "leave out one of them");
  if (output.json)
    output.format = report::Format::kJson;
  else if (!list.given("format"))
    output.format = format_of(output.output);
  if (output.format == report::Format::kPng && output.output.empty())
    misuse("format = png needs a file: a PNG is not for a console", "add --output=FILE.png");
  if (output.format == report::Format::kPng) report::require_gnuplot();
}

void require_own_file(const std::string& csv, const OutputRequest& output) {
  require_own_files({{"csv", csv}}, output);
}

void require_own_files(const std::vector<std::pair<std::string, std::string>>& files,
                       const OutputRequest& output) {
  auto all = files;
  all.emplace_back("output", output.output);
  for (size_t i = 0; i < all.size(); ++i)
    for (size_t j = i + 1; j < all.size(); ++j)
      if (is_same_file(all[i].second, all[j].second))
        misuse(fmt::format("{} and {} are both {}", all[i].first, all[j].first,
                           quoted_start(all[i].second)),
               "one would replace the other: give them two names");
}

void give(const report::Report& given, const OutputRequest& output, const std::string& what) {
  report::TerminalOptions options;
  options.keeps_all = !output.output.empty() || !is_terminal(stdout);
  if (output.output.empty()) {
    options.width = terminal_width(stdout);
    options.colour = can_colour(stdout);
  }
  const std::string text = report::render(given, output.format, options);
  if (output.output.empty()) {
    fmt::print("{}", text);
    return;
  }
  write_output(output.output, as_bytes(text));
  const std::string size = with_commas(static_cast<int64_t>(text.size())) + " bytes";
  fmt::print("{} in {}\n", what.empty() ? size : what, visible(output.output));
}

}  // namespace fathom
