#include "fathom/study/generation/pages.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "fathom/report/report.h"
#include "fathom/track/console.h"
#include "fathom/track/terminal.h"

namespace fathom {
namespace {

void write(const std::string& text) {
  errno = 0;
  const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
  if (std::fflush(stdout) != 0 || !written) fail_output(errno);
}

}  // namespace

Pages::Pages(const Tokenizer& tokenizer, const PagesOptions& options)
    : tokenizer_(tokenizer),
      options_(options),
      terminal_(is_terminal(stdout)),
      texts_(static_cast<size_t>(options.count), options.start),
      pieces_(texts_.size(), {{options.start.size(), -1}}) {}

bool Pages::add(size_t text, int64_t token, int64_t layer) {
  const auto id = static_cast<uint32_t>(token);
  std::string& all = texts_[text];
  const size_t before = all.size();
  if (options_.no_text != id) all += tokenizer_.decode({&id, 1});
  bool goes_on = true;
  if (!options_.stop.empty()) {
    const size_t back = std::min(before - options_.start.size(), options_.stop.size() - 1);
    const size_t found = all.find(options_.stop, before - back);
    goes_on = found == std::string::npos;
    if (!goes_on) all.resize(found);
  }
  pieces_[text].push_back({all.size(), layer});
  for (Piece& piece : pieces_[text]) piece.end = std::min(piece.end, all.size());
  if (text == 0 && !options_.silent) show_until(goes_on ? settled(all) : all.size());
  return goes_on;
}

// Bytes before what may be the beginning of `stop`.
size_t Pages::settled(const std::string& text) const {
  const std::string& stop = options_.stop;
  const size_t produced = text.size() - options_.start.size();
  for (size_t n = std::min(produced, stop.empty() ? 0 : stop.size() - 1); n > 0; --n)
    if (text.compare(text.size() - n, n, stop, 0, n) == 0) return text.size() - n;
  return text.size();
}

// On the scale from the first layer that answers to the last.
std::string Pages::coloured(const std::string& text, int64_t layer) const {
  const std::vector<int64_t>& layers = options_.coloured_layers;
  const auto found = std::find(layers.begin(), layers.end(), layer);
  if (text.empty() || found == layers.end()) return text;
  const double place = layers.size() < 2 ? 0
                                         : static_cast<double>(found - layers.begin()) /
                                               static_cast<double>(layers.size() - 1);
  const std::string begin = fmt::format("\033[30;48;5;{}m", report::scale_terminal_colour(place));
  std::string out;
  for (size_t at = 0; at <= text.size();) {  // a colour ends before its line does
    const size_t end = std::min(text.find('\n', at), text.size());
    if (end > at) out += begin + text.substr(at, end - at) + "\033[0m";
    if (end < text.size()) out += '\n';
    at = end + 1;
  }
  return out;
}

void Pages::show_until(size_t end) {
  const std::string& all = texts_[0];
  std::string out;
  for (const Piece& piece : pieces_[0]) {
    const size_t to = std::min(piece.end, end);
    if (to <= written_) continue;
    const std::string text = all.substr(written_, to - written_);
    out += terminal_ ? coloured(first_.add(text), piece.layer) : text;
    written_ = to;
  }
  if (!out.empty()) write(out);
}

// A text as a whole.
std::string Pages::shown(size_t text) const {
  if (!terminal_) return texts_[text];
  if (options_.coloured_layers.empty()) return visible(texts_[text]);
  std::string out;
  VisibleText whole;
  size_t at = 0;
  for (const Piece& piece : pieces_[text]) {
    if (piece.end > at)
      out += coloured(whole.add(texts_[text].substr(at, piece.end - at)), piece.layer);
    at = std::max(at, piece.end);
  }
  return out + whole.finish();
}

void Pages::finish() {
  if (options_.silent) return;
  show_until(texts_[0].size());
  write((terminal_ ? first_.finish() : std::string()) + "\n");
  for (size_t i = 1; i < texts_.size(); ++i)
    write(fmt::format("\n---------------\n{}\n", shown(i)));
}

}  // namespace fathom
