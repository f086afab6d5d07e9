#include "fathom/decode/decoder.h"

#include <c10/core/InferenceMode.h>
#include <fmt/format.h>

#include "fathom/base/error.h"

namespace fathom {

Decoder::Decoder(const NextTokenModel& model, std::vector<std::vector<int64_t>> texts,
                 Window window, RandomField random)
    : model_(model),
      window_(window),
      random_(random),
      cache_(static_cast<int64_t>(texts.size()), window.capacity) {
  for (std::vector<int64_t>& tokens : texts) {
    if (tokens.empty()) fail("a text to go on from needs a token");
    const auto length = static_cast<int64_t>(tokens.size());
    if (window.overflow == Overflow::kStop && length > window.capacity)
      misuse(fmt::format("the text has {} tokens, the window takes at most {}", length,
                         window.capacity),
             "shorten it, or take --overflow=recompute or half");
    texts_.push_back({std::move(tokens), window.pinned, 0});
  }
}

bool Decoder::is_full(size_t text) const {
  return window_.overflow == Overflow::kStop && size(texts_[text]) > window_.capacity;
}

void Decoder::append(size_t text, int64_t token) {
  texts_[text].tokens.push_back(token);
}

NextToken Decoder::next(Exit exit) {
  const c10::InferenceMode no_graph;
  const KeptWeights::Use weights(weights_);
  const TensorPool::Use tensors(tensors_);
  std::vector<std::vector<int64_t>> rows(texts_.size());
  std::vector<int64_t> first_positions(texts_.size());
  for (size_t b = 0; b < texts_.size(); ++b) {
    Text& text = texts_[b];
    if (is_full(b)) continue;
    const int64_t start = window_.start(size(text));
    // What slid has other positions, so its keys are others.
    if (start != text.start || text.known == size(text)) {
      cache_.forget(static_cast<int64_t>(b));
      text.start = start;
      text.known = 0;
    }
    const auto take = [&](int64_t from, int64_t end) {
      if (from < end)
        rows[b].insert(rows[b].end(), text.tokens.begin() + from, text.tokens.begin() + end);
    };
    take(text.known, std::min(window_.pinned, size(text)));
    take(std::max(text.known, start), size(text));
    const int64_t dropped = start - window_.pinned;
    first_positions[b] = text.known == 0 ? 0 : text.known - dropped;
    text.known = size(text);
  }
  const at::Device device = model_.parameters().all().front().tensor.device();
  Asked asked;
  asked.exit = exit;
  asked.cache = &cache_;
  asked.random = random_;
  return model_.next_token(Rows(rows, first_positions, device), asked);
}

}  // namespace fathom
