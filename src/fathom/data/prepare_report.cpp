// What prepare() says about a corpus, read back from the corpus itself.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "fathom/base/text.h"
#include "fathom/base/utf8.h"
#include "fathom/config/path_text.h"
#include "fathom/data/bpe_vocabulary.h"
#include "fathom/data/content_kind.h"
#include "fathom/data/prepare.h"
#include "fathom/data/prepare_internal.h"
#include "fathom/data/sample.h"

namespace fathom {
namespace {

constexpr size_t kSampleCharacters = 200;
constexpr size_t kSampleIds = 20;
constexpr size_t kMostFrequent = 10;
constexpr size_t kChunk = 1 << 16;
constexpr size_t kRowTokens = 4 << 20;  // of rows, that are looked at

// The first samples of a split of rows, so many tokens, without their ends.
std::vector<uint32_t> first_row_tokens(const Corpus& corpus, const std::string& split,
                                       size_t at_least) {
  std::vector<uint32_t> all;
  const RowFile& rows = *corpus.rows(split);
  for (uint64_t i = 0; i < rows.size() && all.size() < at_least; ++i) {
    const Sample sample = make_sample(*corpus.tokenizer(), rows.row(i));
    all.insert(all.end(), sample.tokens.begin() + 1, sample.tokens.end());
  }
  return all;
}

std::vector<uint64_t> count_tokens(const std::vector<uint32_t>& tokens, int64_t vocab_size) {
  std::vector<uint64_t> counts(static_cast<size_t>(vocab_size));
  for (const uint32_t token : tokens) ++counts[token];
  return counts;
}

std::vector<uint64_t> count_tokens(const Corpus& corpus, const std::string& split) {
  std::vector<uint64_t> counts(static_cast<size_t>(corpus.vocab_size()));
  std::vector<int64_t> chunk;
  for (const TokenShard& shard : corpus.shards(split)) {
    for (uint64_t at = 0; at < shard.size(); at += chunk.size()) {
      chunk.resize(std::min<uint64_t>(kChunk, shard.size() - at));
      shard.copy(at, {chunk.data(), chunk.size()});
      for (const int64_t token : chunk)
        if (token < corpus.vocab_size()) ++counts[static_cast<size_t>(token)];
    }
  }
  return counts;
}

double entropy(const std::vector<uint64_t>& counts) {
  double total = 0, weighted = 0;
  for (const uint64_t count : counts) {
    if (count == 0) continue;
    const auto c = static_cast<double>(count);
    total += c;
    weighted += c * std::log(c);
  }
  return total > 0 ? std::log(total) - weighted / total : 0;
}

std::vector<PrepareReport::Frequent> most_frequent(const std::vector<uint64_t>& counts,
                                                   const Tokenizer& tokenizer) {
  std::vector<uint32_t> ids;
  for (uint32_t id = 0; id < counts.size(); ++id)
    if (counts[id] > 0) ids.push_back(id);
  std::stable_sort(ids.begin(), ids.end(),
                   [&](uint32_t a, uint32_t b) { return counts[a] > counts[b]; });
  ids.resize(std::min(ids.size(), kMostFrequent));
  std::vector<PrepareReport::Frequent> frequent;
  for (const uint32_t id : ids) frequent.push_back({id, tokenizer.decode({&id, 1}), counts[id]});
  return frequent;
}

std::string first_characters(const std::string& text, size_t count) {
  size_t end = 0;
  for (; count > 0 && end < text.size(); --count)
    end += std::max<size_t>(1, utf8_length(text, end));
  return text.substr(0, end);
}

// JSON strings are UTF-8; anything else is shown as messages show it.
std::string printable(const std::string& text) {
  for (size_t i = 0; i < text.size();) {
    const size_t length = utf8_length(text, i);
    if (length == 0) {
      const std::string escaped = in_quotes(text);
      return escaped.substr(1, escaped.size() - 2);
    }
    i += length;
  }
  return text;
}

// meta["text"][key], 0 when it is not there.
uint64_t text_count(const nlohmann::json& meta, const char* key) {
  const nlohmann::json* value = &meta;
  for (const char* step : {"text", key}) {
    if (!value->is_object() || !value->contains(step)) return 0;
    value = &(*value)[step];
  }
  return value->is_number_unsigned() ? value->get<uint64_t>() : 0;
}

}  // namespace

PrepareReport describe_prepared(const Corpus& corpus, const nlohmann::json& meta) {
  PrepareReport report;
  report.name = corpus.name();
  report.path = corpus.path();
  report.tokenizer = corpus.tokenizer()->kind();
  report.vocab_size = corpus.vocab_size();
  report.bytes = text_count(meta, "bytes");
  report.characters = text_count(meta, "characters");
  uint64_t tokens = 0;
  for (const std::string& split : corpus.splits()) {
    const RowFile* rows = corpus.rows(split);
    report.splits.push_back({split, corpus.tokens(split), rows != nullptr ? rows->size() : 0});
    tokens += corpus.tokens(split);
  }
  report.bytes_per_token = static_cast<double>(report.bytes) / static_cast<double>(tokens);

  std::vector<uint32_t> ids;  // that the train split begins with
  if (corpus.has_rows()) ids = first_row_tokens(corpus, "train", kRowTokens);
  const std::vector<uint64_t> counts =
      corpus.has_rows() ? count_tokens(ids, corpus.vocab_size()) : count_tokens(corpus, "train");
  report.unigram_entropy = entropy(counts);
  report.frequent = most_frequent(counts, *corpus.tokenizer());

  if (!corpus.has_rows()) {
    const TokenShard& first = corpus.shards("train").front();
    std::vector<int64_t> start(std::min<uint64_t>(4 * kSampleCharacters, first.size()));
    first.copy(0, {start.data(), start.size()});
    ids.assign(start.begin(), start.end());
  }
  ids.resize(std::min(ids.size(), 4 * kSampleCharacters));
  report.sample = first_characters(corpus.tokenizer()->decode(ids), kSampleCharacters);
  ids.resize(std::min(ids.size(), kSampleIds));
  report.sample_ids = std::move(ids);
  return report;
}

void note_specials(uint64_t count, const Tokenizer& tokenizer, std::vector<std::string>& notices) {
  if (count == 0) return;
  const std::string how = tokenizer.end_of_text()
                              ? "as the token of a text's end; --specials=text leaves it as text"
                              : fmt::format(
                                    "as its letters, for the {} tokenizer has no token of "
                                    "a text's end; --tokenizer=bpe or gpt2 has",
                                    tokenizer.kind());
  notices.push_back(fmt::format("{} stands in the text {}, {}", kEndOfText,
                                counted(static_cast<int64_t>(count), "time"), how));
}

void WindowsMarks::add(std::string_view part) {
  if (part.empty()) return;
  lines_ += after_return_ && part[0] == '\n';
  for (size_t at = part.find("\r\n"); at != part.npos; at = part.find("\r\n", at + 2)) ++lines_;
  after_return_ = part.back() == '\r';
  head_ += part.substr(0, 3 - std::min<size_t>(3, head_.size()));
}

void WindowsMarks::end() {
  texts_ += !byte_order_mark(head_).empty();
  head_.clear();
  after_return_ = false;
}

void WindowsMarks::note(std::vector<std::string>& notices) const {
  if (lines_ > 0)
    notices.push_back(fmt::format(
        "{} in CRLF, as Windows writes them: each carriage return is a character of the text; "
        "`sed 's/\\r$//' FILE` writes it without them",
        counted(static_cast<int64_t>(lines_), "line ends", "lines end")));
  if (texts_ > 0)
    notices.push_back(
        fmt::format("{} with a byte order mark, which stays in the text",
                    counted(static_cast<int64_t>(texts_), "text begins", "texts begin")));
}

PrepareReport report_of(const std::filesystem::path& folder, bool already_prepared,
                        std::vector<std::string> notices) {
  PrepareReport report = describe_prepared(Corpus::open(folder.string()), read_meta(folder));
  report.already_prepared = already_prepared;
  report.notices = std::move(notices);
  return report;
}

nlohmann::json to_json(const PrepareReport& report) {
  nlohmann::json splits = nlohmann::json::object(), frequent = nlohmann::json::array();
  nlohmann::json rows = nlohmann::json::object();
  for (const auto& split : report.splits) {
    splits[split.name] = split.tokens;
    if (split.rows > 0) rows[split.name] = split.rows;
  }
  for (const auto& token : report.frequent)
    frequent.push_back({{"id", token.id}, {"text", printable(token.text)}, {"count", token.count}});
  nlohmann::json json = {{"name", report.name},
                         {"path", path_to_text(report.path)},
                         {"already_prepared", report.already_prepared},
                         {"tokenizer", report.tokenizer},
                         {"vocab_size", report.vocab_size},
                         {"bytes", report.bytes},
                         {"characters", report.characters},
                         {"tokens", splits},
                         {"bytes_per_token", report.bytes_per_token},
                         {"unigram_entropy", report.unigram_entropy},
                         {"frequent", frequent},
                         {"sample", printable(report.sample)},
                         {"sample_ids", report.sample_ids},
                         {"notices", report.notices}};
  if (!rows.empty()) json["rows"] = rows;
  return json;
}

}  // namespace fathom
