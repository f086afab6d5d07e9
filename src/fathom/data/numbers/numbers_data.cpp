#include "fathom/data/numbers/numbers_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "fathom/base/error.h"
#include "fathom/data/bpe.h"
#include "fathom/data/corpus.h"
#include "fathom/data/gpt2_vocabulary.h"

namespace fathom {
namespace {

constexpr char kFirstPrintable = ' ', kLastPrintable = '~';

std::string numbers_alphabet() {
  std::string all = "\n";
  for (char c = kFirstPrintable; c <= kLastPrintable; ++c) all += c;
  return all;
}

void add_whole(TokenBatch& batch, const char* name, WholeNumbers values, bool is_of_token = false) {
  const auto width = static_cast<int64_t>(values.size());
  batch.columns.push_back({name, std::move(values), is_of_token ? 0 : width});
}

void add_real(TokenBatch& batch, const char* name, RealNumbers values) {
  const auto width = static_cast<int64_t>(values.size());
  batch.columns.push_back({name, std::move(values), width});
}

// What labels say of a value: its sign, and ln |v|.
double sign_of(double value) {
  return value < 0 ? -1 : 1;
}
double log_of(double value) {
  constexpr double kLeast = 1e-8;
  return std::log(std::max(std::fabs(value), kLeast));
}

}  // namespace

std::unique_ptr<Tokenizer> numbers_tokenizer(const std::string& kind) {
  if (kind == "byte") return make_byte_tokenizer();
  if (kind == "char") return make_char_tokenizer(numbers_alphabet());
  if (kind != "gpt2") fail(fmt::format("numbers have no tokenizer {}", kind), "char, byte or gpt2");
  std::optional<BpeVocabulary> vocabulary = kept_gpt2_vocabulary();
  if (!vocabulary)
    fail("numbers_tokenizer = gpt2 needs GPT-2's vocabulary, which is not in " + data_root(),
         "`fathom prepare FILE --tokenizer=gpt2` of any text brings it, offline with "
         "--vocabulary=FILE");
  return make_bpe_tokenizer(kind, std::move(*vocabulary));
}

int64_t numbers_vocab_size(const std::string& kind) {
  constexpr int64_t kBytes = 256, kGpt2 = 50257;
  return kind == "char"   ? static_cast<int64_t>(numbers_alphabet().size())
         : kind == "byte" ? kBytes
                          : kGpt2;
}

// An example in tokens, with its line break.
struct NumbersData::Text {
  WholeNumbers tokens, results, supervised;  // of each token: it ends a result, or is behind the
                                             // last operand
};

NumbersData::NumbersData(const NumbersConfig& config, std::string split, const NumbersRows& rows,
                         std::shared_ptr<const Tokenizer> tokenizer)
    : examples_(config),
      split_(std::move(split)),
      rows_(rows),
      tokenizer_(std::move(tokenizer)),
      bytes_by_id_(bytes_by_id(*tokenizer_)) {
  if (rows_.T < 1) misuse("a row of numbers has at least one token", "a larger block_size");
}

NumbersData::Text NumbersData::encoded(const NumberExample& example) const {
  Text text;
  const bool has_result = example.result_begin < example.text.size();
  size_t end = 0;
  for (const uint32_t id : tokenizer_->encode(example.text + "\n")) {
    const size_t begin = end;
    end += static_cast<size_t>(bytes_by_id_[id]);
    text.tokens.push_back(id);
    text.results.push_back(has_result && end > example.result_begin);
    text.supervised.push_back(begin >= example.last_operand_end);
  }
  return text;
}

// A line has two tokens at least.
int64_t NumbersData::most_programs() const {
  const NumbersConfig& config = examples_.config();
  return config.stream_labels && config.stream_share > 0 ? 1 + (rows_.T + 1) / 2 : 1;
}

void NumbersData::add_labels(TokenBatch& batch, const std::vector<NumberExample>& programs) const {
  const NumbersConfig& config = examples_.config();
  const auto D = static_cast<size_t>(std::max(config.label_depth, depth_of(config)));
  const auto S = D + 1, P = static_cast<size_t>(most_programs());
  RealNumbers sign(P * S), log(P * S), value(P);
  WholeNumbers used(P * S), operations(P * D), real(P), wording(P);
  for (size_t p = 0; p < programs.size(); ++p) {
    const NumberExample& example = programs[p];
    if (example.program.values.empty()) continue;
    for (size_t i = 0; i < S; ++i) {
      const double v = example.program.values[i].value();
      sign[p * S + i] = sign_of(v);
      log[p * S + i] = log_of(v);
      used[p * S + i] = example.used[i];
    }
    for (size_t k = 0; k < D; ++k)
      operations[p * D + k] = static_cast<int64_t>(example.program.operations[k]);
    value[p] = example.value;
    real[p] = real_operations(example.program);
    wording[p] = static_cast<int64_t>(example.wording);
  }
  add_real(batch, kProgramSign, std::move(sign));
  add_real(batch, kProgramLog, std::move(log));
  add_whole(batch, kProgramUsed, std::move(used));
  add_whole(batch, kProgramOp, std::move(operations));
  add_real(batch, kProgramValue, std::move(value));
  add_whole(batch, kProgramReal, std::move(real));
  add_whole(batch, kProgramWording, std::move(wording));
}

NumberExample NumbersData::labelled(NumberExample example, uint64_t sequence,
                                    uint64_t number) const {
  if (!examples_.config().shuffle_labels) return example;
  return examples_.at(split_, sequence + 1, number);
}

// `following`: what comes behind the last target, as far as it is known.
void NumbersData::add_ahead(TokenBatch& batch, const WholeNumbers& following) const {
  if (rows_.ahead == 0) return;
  WholeNumbers ahead = following;
  ahead.resize(static_cast<size_t>(rows_.ahead), -1);
  add_whole(batch, "ahead", std::move(ahead));
}

TokenBatch NumbersData::one_example(uint64_t sequence) const {
  NumberExample example = examples_.at(split_, sequence, 0);
  Text text = encoded(example);
  const auto all = static_cast<int64_t>(text.tokens.size());
  const bool is_cut = all > rows_.T;
  const auto T = static_cast<size_t>(std::min(all, rows_.T));
  TokenBatch batch = empty_batch(1, static_cast<int64_t>(T));
  std::copy_n(text.tokens.begin(), T, batch.tokens.begin());
  WholeNumbers results(T), supervised(T);
  WholeNumbers following;
  for (size_t t = 0; t < T; ++t) {
    const bool has_next = t + 1 < text.tokens.size();
    batch.targets[t] = has_next ? text.tokens[t + 1] : -1;
    results[t] = has_next ? text.results[t + 1] : 0;
    supervised[t] = is_cut ? 0 : text.supervised[t];
  }
  if (is_cut) following.assign(text.tokens.begin() + rows_.T + 1, text.tokens.end());
  std::vector<NumberExample> programs;
  if (!is_cut) programs.push_back(labelled(std::move(example), sequence, 0));
  add_labels(batch, programs);
  add_whole(batch, kResult, std::move(results), /*is_of_token=*/true);
  add_whole(batch, kSupervised, std::move(supervised), /*is_of_token=*/true);
  add_ahead(batch, following);
  return batch;
}

TokenBatch NumbersData::stream(uint64_t sequence) const {
  const auto T = static_cast<size_t>(rows_.T), wanted = T + 1 + static_cast<size_t>(rows_.ahead);
  const bool has_labels = examples_.config().stream_labels;
  Text all;
  std::vector<NumberExample> programs(1);  // none is the sequence's own
  for (uint64_t number = 0; all.tokens.size() < wanted; ++number) {
    NumberExample example = examples_.at(split_, sequence, number);
    const Text text = encoded(example);
    const size_t begin = all.tokens.size();
    all.tokens.insert(all.tokens.end(), text.tokens.begin(), text.tokens.end());
    all.results.insert(all.results.end(), text.results.begin(), text.results.end());
    all.supervised.resize(all.tokens.size());
    const auto first = std::find(text.supervised.begin(), text.supervised.end(), 1);
    const size_t known = begin + static_cast<size_t>(first - text.supervised.begin());
    if (!has_labels || first == text.supervised.end() || known >= T) continue;
    std::fill(all.supervised.begin() + static_cast<std::ptrdiff_t>(known), all.supervised.end(),
              static_cast<int64_t>(programs.size()) + 1);
    programs.push_back(labelled(std::move(example), sequence, number));
  }
  all.supervised.resize(T);
  TokenBatch batch = empty_batch(1, rows_.T);
  std::copy_n(all.tokens.begin(), T, batch.tokens.begin());
  std::copy_n(all.tokens.begin() + 1, T, batch.targets.begin());
  WholeNumbers results(all.results.begin() + 1, all.results.begin() + 1 + rows_.T);
  add_labels(batch, programs);
  add_whole(batch, kResult, std::move(results), /*is_of_token=*/true);
  add_whole(batch, kSupervised, std::move(all.supervised), /*is_of_token=*/true);
  add_ahead(batch, {all.tokens.begin() + rows_.T + 1, all.tokens.begin() + wanted});
  return batch;
}

Drawn NumbersData::next(const Cursor& cursor) const {
  const int64_t sequence = cursor["sequence"];
  if (sequence < 0 || sequence == INT64_MAX)
    fail(fmt::format("the data position (sequence {}) does not exist in numbers", sequence),
         "it belongs to other data, or the checkpoint is damaged");
  const auto address = static_cast<uint64_t>(sequence);
  Drawn drawn;
  drawn.batch = examples_.is_stream(split_, address) ? stream(address) : one_example(address);
  drawn.after.set("sequence", sequence + 1);
  drawn.samples = 1;
  return drawn;
}

// Of a stream: its rows have a token that knows a program.
bool NumbersData::has_program(uint64_t sequence) const {
  const TokenBatch batch = stream(sequence);
  const auto& supervised = std::get<WholeNumbers>(batch.find(kSupervised)->values);
  return std::any_of(supervised.begin(), supervised.end(), [](int64_t p) { return p > 0; });
}

NumbersData::Lengths NumbersData::lengths(int64_t sequences) const {
  Lengths all;
  int64_t cut = 0, examples = 0;
  for (int64_t i = 0; i < sequences; ++i) {
    const auto address = static_cast<uint64_t>(i);
    if (examples_.is_stream(split_, address)) {
      if (!examples_.config().stream_labels) continue;
      ++examples;
      cut += !has_program(address);
      continue;
    }
    ++examples;
    const std::string text = examples_.at(split_, address, 0).text + "\n";
    const auto tokens = static_cast<int64_t>(tokenizer_->encode(text).size());
    all.longest = std::max(all.longest, tokens);
    cut += tokens > rows_.T;
  }
  if (examples > 0) all.cut = static_cast<double>(cut) / static_cast<double>(examples);
  return all;
}

}  // namespace fathom
