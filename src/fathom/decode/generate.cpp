#include "fathom/decode/generate.h"

#include <fmt/format.h>

#include "fathom/base/error.h"
#include "fathom/base/random.h"
#include "fathom/decode/draft.h"

namespace fathom {
namespace {

void check_draft(const GenerateOptions& o) {
  if (o.draft == Draft::kNone) return;
  if (!o.sampler.greedy)
    misuse("drafts are checked against the likeliest token, and the sampler draws",
           "add --do_sample=False, or leave --draft out");
  if (o.draft_tokens < 1)
    misuse(fmt::format("draft_tokens = {} proposes nothing", o.draft_tokens), "take 1 or more");
  if (o.draft == Draft::kShift && !o.shift_id)
    misuse("draft = shift needs a model with shift tokens",
           "one trained with predict_ahead = true");
  if (o.draft == Draft::kExit && o.early == nullptr)
    misuse("draft = exit needs a model whose early layers answer", "one trained with a halt_rule");
}

// The shift token in front of the texts, and pinned.
void add_shift(std::vector<std::vector<int64_t>>& texts, int64_t shift, GenerateOptions& options) {
  if (!options.shift_id) return;
  for (std::vector<int64_t>& text : texts) text.insert(text.begin(), *options.shift_id + shift - 1);
  ++options.window.pinned;
}

GenerateReport generate_plainly(const NextTokenModel& model,
                                std::vector<std::vector<int64_t>> texts,
                                const GenerateOptions& options, const EmitToken& emit) {
  std::vector<RandomStream> streams;
  std::vector<size_t> starts;  // lengths of the given texts
  for (size_t b = 0; b < texts.size(); ++b) {
    streams.emplace_back(options.seed, fmt::format("sample/{}", options.first_sample + b));
    starts.push_back(texts[b].size());
  }
  const RandomField random(options.seed, 0, static_cast<int64_t>(options.first_sample));
  Decoder decoder(model, std::move(texts), options.window, random);
  GenerateReport report;
  const auto V = static_cast<size_t>(options.vocab_size);
  std::vector<bool> ended(starts.size(), false);
  for (int64_t i = 0; i < options.max_new_tokens; ++i) {
    Decoder::Question question{options.exit};
    for (size_t b = 0; b < starts.size(); ++b)
      if (!ended[b] && !decoder.is_full(b)) question.texts.push_back(b);
    if (question.texts.empty()) break;
    const std::vector<size_t> open = question.texts;
    const NextToken next = decoder.next(question);
    ++report.passes;
    report.asked += static_cast<int64_t>(open.size());
    report.computed += next.computed;
    report.dense += next.dense;
    const Tensor scores_BV = next.scores_NV.to(at::kCPU, at::kFloat).contiguous();
    if (options.vocab_size > scores_BV.size(1))
      fail(fmt::format("vocab_size = {} is more than the model's {}", options.vocab_size,
                       scores_BV.size(1)));
    for (const size_t b : open) {
      const float* row = scores_BV.data_ptr<float>() + static_cast<int64_t>(b) * scores_BV.size(1);
      const std::vector<int64_t>& tokens = decoder.tokens(b);
      const int64_t token =
          sample_token({row, V}, {tokens.data() + starts[b], tokens.size() - starts[b]},
                       options.sampler, streams[b].uniform(static_cast<uint64_t>(i)));
      decoder.append(b, token);
      ++report.tokens;
      emit(b, token, next.layer_N[static_cast<int64_t>(b)].item<int64_t>());
      ended[b] = options.ends && options.ends(b, token);
    }
  }
  return report;
}

}  // namespace

GenerateReport generate(const NextTokenModel& model, std::vector<std::vector<int64_t>> texts,
                        const GenerateOptions& options, const EmitToken& emit) {
  check_draft(options);
  GenerateOptions settled = options;
  add_shift(texts, 1, settled);
  return (options.draft == Draft::kNone ? generate_plainly : generate_drafted)(
      model, std::move(texts), settled, emit);
}

Tensor scores_ahead(const NextTokenModel& model, std::vector<int64_t> text, int64_t shift,
                    const GenerateOptions& options) {
  if (!options.shift_id || shift < 1)
    misuse(fmt::format("looking {} tokens ahead needs a model with shift tokens", shift),
           "one trained with predict_ahead = true");
  GenerateOptions settled = options;
  std::vector<std::vector<int64_t>> texts = {std::move(text)};
  add_shift(texts, shift, settled);
  const RandomField random(options.seed, 0, static_cast<int64_t>(options.first_sample));
  Decoder decoder(model, std::move(texts), settled.window, random);
  const Tensor scores_V = decoder.next(options.exit).scores_NV[0].to(at::kCPU, at::kFloat);
  if (options.vocab_size > scores_V.size(0))
    fail(fmt::format("vocab_size = {} is more than the model's {}", options.vocab_size,
                     scores_V.size(0)));
  return scores_V.narrow(0, 0, options.vocab_size).clone();
}

}  // namespace fathom
