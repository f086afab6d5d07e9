#include "fathom/study/training_samples.h"

#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/base/visible.h"
#include "fathom/model/walk/readout.h"
#include "fathom/study/seen_steps.h"
#include "fathom/study/sizes/histogram.h"
#include "fathom/study/tables/exit_table.h"
#include "fathom/track/notebook_log.h"

namespace fathom {
namespace {

constexpr size_t kTokens = 30, kLeastNewTokens = 16, kShownPositions = 8, kBins = 6;

// As far as the tokenizer can say it.
std::vector<int64_t> tokens_of(const Tokenizer& tokenizer, const std::string& text) {
  const std::vector<uint32_t> ids = encode_with_specials(tokenizer, text);
  return {ids.begin(), ids.end()};
}

std::vector<int64_t> given_prompt(const Tokenizer& tokenizer, const std::string& text) {
  try {
    return tokens_of(tokenizer, text);
  } catch (const Error& error) {
    misuse(fmt::format("sample_prompt = {}: {}", quoted_start(text), error.what()),
           "give a text that the tokenizer has tokens for, or leave it out");
  }
}

std::vector<int64_t> usual_prompt(const Tokenizer* tokenizer) {
  if (tokenizer == nullptr) return {0};
  for (const char* text : {kNotebookPrompt, "\n"}) {
    try {
      return tokens_of(*tokenizer, text);
    } catch (const Error&) {  // has no token for a part of it
    }
  }
  return {0};
}

// Mean over rows of the standard deviation over channels (C - 1).
double deviation(const Tensor& x_RC) {
  const Tensor x = x_RC.to(at::kDouble);
  const Tensor off_RC = x - x.mean(-1, /*keepdim=*/true);
  const auto C = static_cast<double>(x.size(1));
  return off_RC.square().sum(-1).div(C - 1).sqrt().mean().item<double>();
}

std::string histogram_line(const std::string& name, const Tensor& x_C) {
  const Tensor x = x_C.to(at::kCPU, at::kDouble).contiguous();
  const Histogram h =
      whole_histogram({x.data_ptr<double>(), x.data_ptr<double>() + x.numel()}, kBins);
  return notebook_histogram_line(name, h.low, h.high, h.counts);
}

}  // namespace

// One walk over a text.
struct TrainingSamples::Read {
  std::vector<SeenStep> seen;
  int64_t front = 0;  // rows that are no text
  Tensor scores_V;    // of the next token
  // Of the carry after each step: by its own readout, else by the last norm and head, if its width
  // is theirs.
  std::vector<std::pair<std::string, Reading>> layers;
  Reading answer;
};

TrainingSamples::TrainingSamples(const DepthModel& model, const Tokenizer* tokenizer,
                                 int64_t text_vocab, const std::optional<std::string>& prompt,
                                 std::optional<int64_t> shift)
    : model_(model),
      tokenizer_(tokenizer),
      text_vocab_(text_vocab),
      shift_(shift),
      program_(whole_program(model)) {
  last_readout_step(program_);  // throws
  if (prompt && tokenizer == nullptr)
    fail("sample_prompt is text, and the corpus's tokens have none", "leave it out");
  prompt_ = prompt ? given_prompt(*tokenizer, *prompt) : usual_prompt(tokenizer);
  if (prompt_.empty()) fail("sample_prompt has no tokens", "give it a word, or leave it out");
}

TrainingSamples::Read TrainingSamples::read(const std::vector<int64_t>& text) const {
  const at::NoGradGuard no_grad;
  const DepthWalk& walk = model_.walk();
  const auto sees = static_cast<size_t>(walk.backbone().block_size) - (shift_ ? 1 : 0);
  const auto begin = text.end() - static_cast<std::ptrdiff_t>(std::min(sees, text.size()));
  std::vector<int64_t> rows(begin, text.end());
  if (shift_) rows.insert(rows.begin(), *shift_);
  Batch batch;
  const at::Device device = model_.parameters().all().front().tensor.device();
  batch.tokens_BT = index_tensor(rows, device).unsqueeze(0);
  Read read;
  read.front = shift_ ? 1 : 0;
  read.seen.resize(program_.steps.size());
  WalkOptions options;
  options.read = false;
  options.observe = seen_steps_observer(read.seen);
  walk.run(program_, batch, options);
  const StepSpec& last = last_readout_step(program_);
  const ReadoutSpec& readout_spec = *last.layer.readout;
  const LinearParams& head = walk.params().head.at(readout_spec.head);
  const Tensor head_RC = read.seen[static_cast<size_t>(last.index)].head_RC;
  read.scores_V = linear(head_RC.narrow(0, head_RC.size(0) - 1, 1), head.weight, head.bias)[0];
  read.answer = readout(head_RC, head, {});
  for (const StepSpec& step : program_.steps) {
    const SeenStep& seen = read.seen[static_cast<size_t>(step.index)];
    const bool own = step.layer.readout.has_value();
    if (!own && step.layer.width != last.layer.width) continue;
    const Tensor n_RC =
        own ? seen.head_RC
            : norm(seen.after(), walk.params().norm(readout_spec.norm), walk.settings());
    const LinearParams& by = own ? walk.params().head.at(step.layer.readout->head) : head;
    read.layers.emplace_back(step_name(step), readout(n_RC, by, {}));
  }
  return read;
}

std::string TrainingSamples::text_of(const std::vector<int64_t>& tokens) const {
  std::string text;
  for (const int64_t token : tokens) {
    const auto id = static_cast<uint32_t>(token);
    text += tokenizer_ != nullptr && token < tokenizer_->vocab_size() ? tokenizer_->decode({&id, 1})
                                                                      : fmt::format("[{}]", token);
  }
  return text;
}

std::vector<int64_t> TrainingSamples::grown(
    const std::function<void(size_t made, const Read&)>& see) const {
  std::vector<int64_t> text = prompt_;
  const size_t end = std::max(kTokens, prompt_.size() + kLeastNewTokens);
  for (size_t made = 0; text.size() < end; ++made) {
    const Read now = read(text);
    if (see) see(made, now);
    text.push_back(now.scores_V.narrow(0, 0, text_vocab_).argmax().item<int64_t>());
  }
  return text;
}

void TrainingSamples::add_sizes(const Read& read, std::vector<std::string>& lines) const {
  const auto rows_of = [&](const Tensor& x_RC) {
    return x_RC.narrow(0, read.front, x_RC.size(0) - read.front);
  };
  std::vector<std::string> infos;
  for (size_t i = 0; i < read.seen.size(); ++i) {
    const SeenStep& step = read.seen[i];
    const bool is_last = i + 1 == read.seen.size();
    const Tensor next_RC = is_last ? step.head_RC : read.seen[i + 1].n_RC;
    const Tensor after_RC = rows_of(step.after()), before_RC = rows_of(step.before_RC);
    const Tensor a_RC = step.first("a"), m_RC = step.first("m"), middle_RC = step.middle();
    NotebookSizes sizes;
    sizes.previous = deviation(after_RC);
    sizes.next = next_RC.defined() ? deviation(rows_of(next_RC)) : std::nan("");
    sizes.delta = deviation(after_RC - before_RC);
    sizes.middle = !a_RC.defined()       ? deviation(before_RC)
                   : middle_RC.defined() ? deviation(rows_of(middle_RC))
                                         : sizes.previous;
    lines.push_back(notebook_size_line(sizes));
    infos.push_back(notebook_info_line(sizes));
    if (a_RC.defined()) infos.push_back(histogram_line("attn_hist", rows_of(a_RC)[0]));
    if (m_RC.defined()) infos.push_back(histogram_line("mlp_hist", rows_of(m_RC)[0]));
  }
  lines.insert(lines.end(), infos.begin(), infos.end());
}

void TrainingSamples::add_guesses(const Read& read, std::vector<std::string>& lines) const {
  const auto add = [&](const std::string& name, const Reading& reading) {
    const Tensor ids = reading.prediction_R.to(at::kCPU).contiguous();
    const Tensor ln_p = reading.ln_max_R.to(at::kCPU, at::kDouble).contiguous();
    const int64_t rows = ids.numel();
    const int64_t count =
        std::min<int64_t>(rows - read.front, static_cast<int64_t>(kShownPositions));
    std::string line = name + ":";
    for (int64_t i = rows - count; i < rows; ++i)
      line += fmt::format(" '{}' {:.2f}", visible_token(text_of({ids.data_ptr<int64_t>()[i]})),
                          std::exp(ln_p.data_ptr<double>()[i]));
    lines.push_back(std::move(line));
  };
  for (const auto& [name, reading] : read.layers) add("layer " + name, reading);
  add("answer", read.answer);
}

std::vector<std::string> TrainingSamples::plain() const {
  return {"sample: " + visible(text_of(grown(nullptr)))};
}

std::vector<std::string> TrainingSamples::notebook() const {
  std::vector<std::string> lines;
  const std::vector<int64_t> text = grown([&](size_t made, const Read& now) {
    if (made == 0) add_sizes(now, lines);
    if (made < 2) add_guesses(now, lines);
  });
  lines.push_back("rank 0 sample 0: " + visible(text_of(text)));
  return lines;
}

}  // namespace fathom
