#include "fathom/decode/draft.h"

#include <fmt/format.h>

#include <algorithm>

#include "fathom/base/error.h"

namespace fathom {
namespace {

// Scores on the processor, and whose they are.
struct Answers {
  Tensor scores_NV, layer_N;
  int64_t last = 1;  // as Decoder::Question

  int64_t row(size_t sequence, int64_t back) const {
    return (static_cast<int64_t>(sequence) + 1) * last - 1 - back;
  }
};

class Drafting {
 public:
  Drafting(const NextTokenModel& model, std::vector<std::vector<int64_t>> texts,
           const GenerateOptions& options, const EmitToken& emit)
      : options_(options),
        emit_(emit),
        views_(options.draft == Draft::kShift ? static_cast<size_t>(options.draft_tokens) : 1),
        decoder_(model, all_views(texts), options.window,
                 RandomField(options.seed, 0, static_cast<int64_t>(options.first_sample))) {
    for (const std::vector<int64_t>& text : texts)
      texts_.push_back({text.size(), options.max_new_tokens, {}});
  }

  GenerateReport run() {
    for (;;) {
      std::vector<size_t> open;
      for (size_t b = 0; b < texts_.size(); ++b)
        if (texts_[b].left > 0 && !decoder_.is_full(b)) open.push_back(b);
      if (open.empty()) return report_;
      options_.draft == Draft::kShift ? round_of_shifts(open) : round_of_exits(open);
    }
  }

 private:
  struct Text {
    size_t given = 0;
    int64_t left = 0;               // to be emitted
    std::vector<int64_t> proposed;  // of this round, behind what is settled
  };

  // View v of text b, which looks v + 1 tokens ahead, is sequence v * B + b: those of view 0 have
  // the numbers, and so the random draws, that they have without drafts.
  size_t sequence(size_t view, size_t b) const { return view * texts_.size() + b; }
  int64_t length(size_t b) const { return static_cast<int64_t>(decoder_.tokens(b).size()); }

  std::vector<std::vector<int64_t>> all_views(
      const std::vector<std::vector<int64_t>>& texts) const {
    std::vector<std::vector<int64_t>> all;
    for (size_t view = 0; view < views_; ++view)
      for (std::vector<int64_t> text : texts) {
        text.front() += static_cast<int64_t>(view);
        all.push_back(std::move(text));
      }
    return all;
  }

  Answers ask(std::vector<size_t> sequences, int64_t last, Exit exit, const Policy* policy) {
    // A text's other views are of the same pass.
    if (policy == nullptr)
      report_.asked += std::count_if(sequences.begin(), sequences.end(),
                                     [&](size_t s) { return s < texts_.size(); });
    const NextToken next = decoder_.next({exit, last, policy, std::move(sequences)});
    report_.computed += next.computed;
    report_.dense += next.dense;
    (policy == nullptr ? report_.passes : report_.early_passes) += 1;
    Answers answers = {next.scores_NV.to(at::kCPU, at::kFloat).contiguous(), next.layer_N, last};
    if (options_.vocab_size > answers.scores_NV.size(1))
      fail(fmt::format("vocab_size = {} is more than the model's {}", options_.vocab_size,
                       answers.scores_NV.size(1)));
    return answers;
  }

  // The likeliest token of a row, behind the text's first `length` tokens.
  int64_t choose(const Answers& answers, int64_t row, size_t b, int64_t length) const {
    const float* scores = answers.scores_NV.data_ptr<float>() + row * answers.scores_NV.size(1);
    const std::vector<int64_t>& tokens = decoder_.tokens(b);
    const size_t given = texts_[b].given;
    return sample_token({scores, static_cast<size_t>(options_.vocab_size)},
                        {tokens.data() + given, static_cast<size_t>(length) - given},
                        options_.sampler, 0);
  }

  // Views before `first_view` have the token.
  void settle(size_t b, int64_t token, int64_t layer, size_t first_view) {
    for (size_t view = first_view; view < views_; ++view) decoder_.append(sequence(view, b), token);
    --texts_[b].left;
    ++report_.tokens;
    emit_(b, token, layer);
    if (options_.ends && options_.ends(b, token)) texts_[b].left = 0;
  }

  // Whatever was proposed stands behind the text's first `settled` tokens in view 0, and has been
  // asked about.
  void check(const Answers& answers, size_t b, int64_t settled) {
    const std::vector<int64_t>& proposed = texts_[b].proposed;
    const auto k = static_cast<int64_t>(proposed.size());
    report_.drafted += k;
    for (int64_t i = 0; i <= k; ++i) {
      const int64_t row = answers.row(b, k - i);
      const int64_t token = choose(answers, row, b, settled + i);
      const auto layer = answers.layer_N[row].item<int64_t>();
      const bool right = i < k && token == proposed[static_cast<size_t>(i)];
      if (!right) decoder_.truncate(b, settled + i);
      settle(b, token, layer, right ? 1 : 0);
      if (right) ++report_.confirmed;
      if (!right || texts_[b].left == 0) return;
    }
  }

  void round_of_shifts(const std::vector<size_t>& open) {
    std::vector<size_t> sequences, checked;
    std::vector<int64_t> proposals(texts_.size(), 0);
    for (const size_t b : open) {
      // The next token is certain, and the checking pass gives one more than it confirms.
      proposals[b] = std::max<int64_t>(std::min({options_.draft_tokens - 1, texts_[b].left - 2,
                                                 options_.window.room(length(b) + 1)}),
                                       0);
      for (int64_t view = 0; view <= proposals[b]; ++view)
        sequences.push_back(sequence(static_cast<size_t>(view), b));
    }
    const Answers first = ask(std::move(sequences), 1, options_.exit, nullptr);
    int64_t longest = 0;
    for (const size_t b : open) {
      Text& text = texts_[b];
      text.proposed.clear();
      for (int64_t view = 1; view <= proposals[b]; ++view)
        text.proposed.push_back(
            choose(first, first.row(sequence(static_cast<size_t>(view), b), 0), b, length(b)));
      const int64_t row = first.row(b, 0);
      settle(b, choose(first, row, b, length(b)), first.layer_N[row].item<int64_t>(), 0);
      if (text.proposed.empty() || text.left == 0) continue;
      for (const int64_t token : text.proposed) decoder_.append(b, token);
      checked.push_back(b);
      longest = std::max(longest, proposals[b]);
    }
    if (checked.empty()) return;
    const Answers answers = ask(checked, 1 + longest, options_.exit, nullptr);
    for (const size_t b : checked) check(answers, b, length(b) - proposals[b]);
  }

  void round_of_exits(const std::vector<size_t>& open) {
    std::vector<int64_t> known(texts_.size()), settled(texts_.size()), proposals(texts_.size());
    int64_t longest = 0;
    for (const size_t b : open) {
      texts_[b].proposed.clear();
      known[b] = decoder_.known(b);
      settled[b] = length(b);
      proposals[b] =
          std::min({options_.draft_tokens, texts_[b].left - 1, options_.window.room(length(b))});
      longest = std::max(longest, proposals[b]);
    }
    for (int64_t i = 0; i < longest; ++i) {
      std::vector<size_t> asked;
      for (const size_t b : open)
        if (i < proposals[b]) asked.push_back(b);
      const Answers early = ask(asked, 1, Exit::kFirstConfident, options_.early);
      for (const size_t b : asked) {
        texts_[b].proposed.push_back(choose(early, early.row(b, 0), b, length(b)));
        decoder_.append(b, texts_[b].proposed.back());
      }
    }
    // The short passes have left keys of the first layers alone.
    for (const size_t b : open) decoder_.forget_from(b, known[b]);
    const Answers answers = ask(open, 1 + longest, options_.exit, nullptr);
    for (const size_t b : open) check(answers, b, settled[b]);
  }

  const GenerateOptions& options_;
  const EmitToken& emit_;
  size_t views_;
  Decoder decoder_;
  std::vector<Text> texts_;
  GenerateReport report_;
};

}  // namespace

GenerateReport generate_drafted(const NextTokenModel& model,
                                std::vector<std::vector<int64_t>> texts,
                                const GenerateOptions& options, const EmitToken& emit) {
  return Drafting(model, std::move(texts), options, emit).run();
}

}  // namespace fathom
