// What training shows of its model now and then: a text that it goes on with, and, in the
// notebook's log, what each layer makes of it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "fathom/data/tokenizer.h"
#include "fathom/model/depth_model.h"

namespace fathom {

// The notebook's text; a tokenizer that cannot say it gets a line break or, failing that, its first
// token.
inline constexpr const char* kNotebookPrompt = "A Poem for you! Roses are red, Potatoes are ";

// Of one text, which always grows by the likeliest token: up to 30 tokens with the prompt, and by
// 16 at least. Beyond the model's positions it sees the last ones.
class TrainingSamples {
 public:
  // Model and tokenizer (null: unknown, tokens are shown as numbers) must outlive it. `prompt`
  // unset: kNotebookPrompt. `shift`: the shift token that stands before the text. Throws Error for
  // a prompt without tokens, or that the tokenizer cannot say.
  TrainingSamples(const DepthModel& model, const Tokenizer* tokenizer, int64_t text_vocab,
                  const std::optional<std::string>& prompt, std::optional<int64_t> shift);

  // "sample: A Poem for you! ..."
  std::vector<std::string> plain() const;
  // For the first new token the sizes of every layer (track/notebook_log.h), for the first two
  // every layer's likeliest token and its probability at the last 8 positions, by its own readout
  // or else by the last one, a line a layer (of the last one's width) and one for the answer; then
  // the text: "rank 0 sample 0: ...".
  std::vector<std::string> notebook() const;

 private:
  struct Read;
  Read read(const std::vector<int64_t>& text) const;
  std::string text_of(const std::vector<int64_t>& tokens) const;
  void add_sizes(const Read& read, std::vector<std::string>& lines) const;
  void add_guesses(const Read& read, std::vector<std::string>& lines) const;
  std::vector<int64_t> grown(const std::function<void(size_t made, const Read&)>& see) const;

  const DepthModel& model_;
  const Tokenizer* tokenizer_;
  int64_t text_vocab_;
  std::optional<int64_t> shift_;
  std::vector<int64_t> prompt_;
  DepthProgram program_;
};

}  // namespace fathom
