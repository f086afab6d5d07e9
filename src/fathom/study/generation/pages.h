// Texts as they grow, on standard output.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "fathom/base/visible.h"
#include "fathom/data/tokenizer.h"

namespace fathom {

struct PagesOptions {
  std::string start;                // that all texts begin with
  int64_t count = 1;                // of texts
  bool silent = false;              // nothing is shown, only kept
  std::string stop;                 // what ends a text, and is not in it; empty: nothing does
  std::optional<uint32_t> no_text;  // a token that is not shown: the end of a text
  // Of what layers answered, where colours tell them apart, in order; empty: no colours.
  std::vector<int64_t> coloured_layers;
};

// The first text appears as it grows, but for what may yet be the beginning of `stop`; the others
// when all is done. To a terminal nothing that it would obey, and whole characters; elsewhere the
// bytes as they are.
class Pages {
 public:
  Pages(const Tokenizer& tokenizer, const PagesOptions& options);

  // False: the text is complete, for it has come to `stop`.
  bool add(size_t text, int64_t token, int64_t layer);
  // Whatever there is by now. Throws Error where it cannot be written, as add() does.
  void finish();

  const std::vector<std::string>& texts() const { return texts_; }
  // In the layer's colour; as it is where there are none.
  std::string coloured(const std::string& text, int64_t layer) const;

 private:
  // A piece of a text, by who answered it.
  struct Piece {
    size_t end = 0;      // in the text
    int64_t layer = -1;  // -1: it was given
  };
  size_t settled(const std::string& text) const;
  std::string shown(size_t text) const;
  void show_until(size_t end);

  const Tokenizer& tokenizer_;
  PagesOptions options_;
  bool terminal_;
  std::vector<std::string> texts_;
  std::vector<std::vector<Piece>> pieces_;
  VisibleText first_;
  size_t written_ = 0;  // bytes of the first text
};

}  // namespace fathom
