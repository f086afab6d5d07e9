// `fathom prepare` of JSON lines.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>

#include "data/rows_testing.h"
#include "fathom/base/utf8.h"
#include "fathom/data/prepare.h"
#include "fathom/data/sample.h"
#include "source_path.h"

namespace fs = std::filesystem;

namespace fathom {
namespace {

using testing::answer;
using testing::caught;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::slurp;
using testing::spill;
using testing::text_row;

class PrepareRows : public testing::DataTest {
 protected:
  PrepareOptions file(const std::string& lines, const std::string& name = "quiz.jsonl") {
    spill(temp_ / name, lines);
    PrepareOptions options;
    options.what = temp_ / name;
    return options;
  }
  static std::string quiz(int n) {
    std::string lines;
    for (int i = 0; i < n; ++i)
      lines += row_line(answer(std::to_string(i) + "?", "yes " + std::to_string(i))) + "\n";
    return lines;
  }
  std::string refusal(const PrepareOptions& options) {
    return caught([&] { prepare(options); }).what();
  }
  nlohmann::json meta(const std::string& name) {
    return nlohmann::json::parse(slurp(temp_ / ("data/" + name + "/meta.json")));
  }
  static std::vector<Row> rows_of(const Corpus& corpus, const std::string& split) {
    std::vector<Row> all;
    for (uint64_t i = 0; i < corpus.rows(split)->size(); ++i)
      all.push_back(corpus.rows(split)->row(i));
    return all;
  }
  static std::string decoded(const Corpus& corpus, const std::string& split) {
    const std::vector<int64_t> tokens = testing::all_tokens(corpus.shards(split)[0]);
    return corpus.tokenizer()->decode(std::vector<uint32_t>(tokens.begin(), tokens.end()));
  }
};

TEST_F(PrepareRows, MakesACorpusOfRows) {
  const PrepareReport report = prepare(file(quiz(40)));
  EXPECT_EQ(report.name, "quiz");
  EXPECT_EQ(report.tokenizer, "char");
  EXPECT_EQ(report.vocab_size, 10 + 6) << "digits, `? yes`, and the newline that ends an answer";
  ASSERT_EQ(report.splits.size(), 2u);
  EXPECT_EQ(report.splits[0].rows, 36u);
  EXPECT_EQ(report.splits[1].rows, 4u);
  EXPECT_EQ(to_json(report)["rows"], (nlohmann::json{{"train", 36}, {"val", 4}}));
  EXPECT_THAT(report.notices, ElementsAre(HasSubstr("a newline is the end of each row")));

  const Corpus corpus = Corpus::open("quiz");
  EXPECT_TRUE(corpus.has_rows());
  EXPECT_THAT(corpus.splits(), ElementsAre("train", "val"));
  uint64_t bytes = 0;
  std::multiset<std::string> seen;
  for (const std::string& split : corpus.splits()) {
    uint64_t tokens = 0;
    for (const Row& row : rows_of(corpus, split)) {
      seen.insert(row_line(row) + "\n");
      tokens += make_sample(*corpus.tokenizer(), row).tokens.size();
      bytes += row.prompt.size() + row.truth.size();
    }
    EXPECT_EQ(corpus.tokens(split), tokens);
    EXPECT_EQ(report.splits[split == "val"].tokens, tokens);
  }
  EXPECT_EQ(report.bytes, bytes);
  EXPECT_EQ(std::accumulate(seen.begin(), seen.end(), std::string()).size(), quiz(40).size());
  for (int i = 0; i < 40; ++i)
    EXPECT_EQ(
        seen.count(row_line(answer(std::to_string(i) + "?", "yes " + std::to_string(i))) + "\n"),
        1u);
  EXPECT_EQ(meta("quiz")["kind"], "rows");
  EXPECT_EQ(meta("quiz")["splits"]["train"][0]["file"], "train.jsonl");
  EXPECT_THAT(caught([&] { corpus.shards("train"); }).what(), HasSubstr("rows of prompts"));
  EXPECT_THAT(caught([&] { corpus.rows("vol"); }).what(), HasSubstr("no split \"vol\""));
  EXPECT_NO_THROW(require_block(corpus, 1 << 20)) << "rows are of any length";
}

TEST_F(PrepareRows, TheSeedDecidesTheOrderAndWhatIsKeptForValidation) {
  PrepareOptions options = file(quiz(40));
  const auto split = [&](int64_t seed, const std::string& name) {
    options.seed = seed;
    options.name = name;
    prepare(options);
    return std::pair(rows_of(Corpus::open(name), "train"), rows_of(Corpus::open(name), "val"));
  };
  const auto one = split(0, "one"), again = split(0, "again"), other = split(1, "other");
  EXPECT_EQ(one, again);
  EXPECT_FALSE(one.second == other.second);
  EXPECT_NE(one.first[0].prompt + one.first[1].prompt, "0?1?") << "not as in the file";
  EXPECT_EQ(meta("other")["command"], "fathom prepare " + options.what + " --name other --seed 1");
  EXPECT_TRUE(prepare(options).already_prepared);
  options.seed = 2;
  EXPECT_THAT(refusal(options), HasSubstr("made from the same text with other settings"));
  options.force = true;
  EXPECT_FALSE(prepare(options).already_prepared) << "rows are replaced like shards";
}

TEST_F(PrepareRows, TextsBecomeShardsWithAnEndBehindEach) {
  std::string lines;
  for (int i = 0; i < 10; ++i)
    lines += row_line(text_row("text " + std::to_string(i), i == 3 ? "Three" : "")) + "\n";
  PrepareOptions options = file(lines, "texts.ndjson");
  prepare(options);
  const Corpus corpus = Corpus::open("texts");
  EXPECT_FALSE(corpus.has_rows());
  const std::string all = decoded(corpus, "train") + decoded(corpus, "val");
  for (int i = 0; i < 10; ++i) EXPECT_THAT(all, HasSubstr("text " + std::to_string(i) + "\n"));
  EXPECT_THAT(all, HasSubstr("Title: Three\ntext 3\n"));
  EXPECT_EQ(all.size(), 10 * 7u + std::string("Title: Three\n").size());

  options.rows = true;
  options.name = "kept";
  prepare(options);
  EXPECT_EQ(Corpus::open("kept").rows("train")->size(), 9u);
  // With a token for it, the end is no newline.
  options.rows = false;
  options.name = "pairs";
  options.tokenizer = "bpe";
  options.vocab_size = 258;
  EXPECT_THAT(prepare(options).notices, IsEmpty());
  EXPECT_THAT(decoded(Corpus::open("pairs"), "train"), HasSubstr("<|endoftext|>text "));
}

TEST_F(PrepareRows, BytePairsAreMadeOfWhatIsTrainedOn) {
  PrepareOptions options = file(quiz(40));
  options.tokenizer = "bpe";
  options.vocab_size = 262;
  prepare(options);
  const Corpus corpus = Corpus::open("quiz");
  EXPECT_EQ(corpus.tokenizer()->end_of_text(), 261u);
  // "yes" is in every row, "Zebra" only in one that validates.
  EXPECT_EQ(corpus.tokenizer()->encode("yes").size(), 1u);
  std::string zebras;
  for (const Row& row : rows_of(corpus, "val")) {
    Row other = row;
    for (int i = 0; i < 200; ++i) other.truth += " Zebra";
    zebras += row_line(other) + "\n";
  }
  std::string changed = quiz(40);
  for (const Row& row : rows_of(corpus, "val")) {
    const std::string line = row_line(row) + "\n";
    Row other = row;
    for (int i = 0; i < 200; ++i) other.truth += " Zebra";
    changed.replace(changed.find(line), line.size(), row_line(other) + "\n");
  }
  options = file(changed, "zebra.jsonl");
  options.tokenizer = "bpe";
  options.vocab_size = 262;
  prepare(options);
  EXPECT_EQ(Corpus::open("zebra").tokenizer()->to_json(), corpus.tokenizer()->to_json());
}

TEST_F(PrepareRows, CharactersAreOfAllRows) {
  std::string lines = quiz(10);
  for (int i = 0; i < 10; ++i) {
    std::string letter;
    utf8_append(letter, 0x4E00u + static_cast<uint32_t>(i));
    lines += row_line(answer(letter, letter)) + "\n";
  }
  prepare(file(lines));
  const Corpus corpus = Corpus::open("quiz");
  for (const std::string& split : corpus.splits())
    for (const Row& row : rows_of(corpus, split))
      EXPECT_NO_THROW(make_sample(*corpus.tokenizer(), row));
}

TEST_F(PrepareRows, WhatHasNothingToLearnIsLeftOut) {
  std::string lines =
      "\xEF\xBB\xBF" + quiz(20) + "\n  \n{\"prompt\": \"alone\"}\r\n{\"text\": null}\n";
  const PrepareReport report = prepare(file(lines));
  EXPECT_EQ(report.splits[0].rows + report.splits[1].rows, 20u);
  EXPECT_THAT(report.notices, Contains(HasSubstr("2 rows have neither an answer nor a text")));
}

TEST_F(PrepareRows, AnswersOfSeveralLinesAreToldOf) {
  const std::string lines = quiz(20) + row_line(answer("how", "one\ntwo")) + "\n";
  EXPECT_THAT(prepare(file(lines)).notices, Contains(HasSubstr("1 answers have newlines within")));
}

TEST_F(PrepareRows, AnythingElseIsRefusedWithItsLine) {
  EXPECT_THAT(refusal(file(quiz(3) + "{\"truth\":\n")),
              HasSubstr("quiz.jsonl, line 4 is not JSON"));
  EXPECT_THAT(refusal(file(quiz(3) + "\n[1]\n")), HasSubstr("line 5 is a list"));
  EXPECT_THAT(refusal(file(quiz(1))), HasSubstr("1 rows, of which the split train would get none"));
  EXPECT_THAT(refusal(file("\n\n")), HasSubstr("has no rows"));
  const Error e = caught([&] { prepare(file("{\"question\": \"a\", \"answer\": \"b\"}\n")); });
  EXPECT_THAT(e.what(), HasSubstr("no row of"));
  EXPECT_THAT(e.what(), HasSubstr("\"truth\" or \"text\", the first one has: answer, question"));
  EXPECT_THAT(e.hint(), HasSubstr("--truth_field"));
  EXPECT_FALSE(fs::exists(temp_ / "data/quiz"));
}

TEST_F(PrepareRows, TheFormatIsToldByTheNameOrByTheUser) {
  PrepareOptions options = file(quiz(20), "rows.txt");
  prepare(options);
  EXPECT_FALSE(Corpus::open("rows").has_rows()) << "a text";
  options.name = "told";
  options.format = "jsonl";
  prepare(options);
  EXPECT_TRUE(Corpus::open("told").has_rows());
  options = file(quiz(20));
  options.format = "text";
  prepare(options);
  EXPECT_FALSE(Corpus::open("quiz").has_rows());
}

TEST_F(PrepareRows, PackedRowsAreUnpacked) {
  prepare(file(quiz(20)));
  const std::string plain = Corpus::open("quiz").fingerprint();
  for (const auto& [packer, ending] : {std::pair{"gzip -f", ".gz"}, {"zstd -q --rm", ".zst"}}) {
    PrepareOptions options = file(quiz(20), "more.jsonl");
    ASSERT_EQ(std::system((packer + (" " + options.what)).c_str()), 0) << packer;
    options.what += ending;
    options.force = true;
    EXPECT_EQ(prepare(options).name, "more");
    EXPECT_EQ(Corpus::open("more").fingerprint(), plain);
  }
  PrepareOptions damaged = file("\x1f\x8b\x08 no more of it", "bad.jsonl.gz");
  EXPECT_THAT(refusal(damaged), HasSubstr("gzip"));
}

TEST_F(PrepareRows, ColumnsOfParquetAreRows) {
  PrepareOptions options;
  options.what = testing::source_path("tests/golden/parquet/rain.parquet");
  options.prompt_field = "title";
  options.truth_field = "text";
  try {
    prepare(options);
  } catch (const Error& error) {
    EXPECT_THAT(error.hint(), HasSubstr("npm install hyparquet"));
    GTEST_SKIP() << error.what();
  }
  const Corpus corpus = Corpus::open("rain");
  std::vector<Row> rows = rows_of(corpus, "train");
  for (const Row& row : rows_of(corpus, "val")) rows.push_back(row);
  EXPECT_THAT(rows, ::testing::UnorderedElementsAre(
                        answer("Rain", "the rain falls"), answer("", "on the hill\nand \"on\""),
                        answer("River", "日本 and the river"), answer("", "it rises")));
}

TEST_F(PrepareRows, ADamagedCorpusIsNamedAndMadeAgain) {
  const PrepareOptions options = file(quiz(20));
  prepare(options);
  const std::string rows = temp_ / "data/quiz/train.jsonl";
  const std::string whole = slurp(rows);
  std::string damaged = whole;
  damaged[20] ^= 1;
  const auto refused = [&](const std::string& content) {
    spill(rows, content);
    const Error e = caught([] { Corpus::open("quiz"); });
    EXPECT_THAT(e.hint(), HasSubstr("--force` makes it again"));
    return std::string(e.what());
  };
  EXPECT_THAT(refused(damaged), HasSubstr("is corrupt"));
  EXPECT_THAT(refused(whole.substr(1)), HasSubstr("bytes where meta.json says"));
  fs::remove(rows);
  EXPECT_THAT(caught([] { Corpus::open("quiz"); }).what(), HasSubstr("is missing"));
  EXPECT_THAT(prepare(options).notices, Contains(HasSubstr("made again")));
  EXPECT_EQ(slurp(rows), whole);
}

TEST_F(PrepareRows, EveryValueOfMetaJsonIsChecked) {
  prepare(file(quiz(20)));
  const nlohmann::json sound = meta("quiz");
  const auto refused = [&](const char* pointer, const nlohmann::json& value) {
    nlohmann::json changed = sound;
    changed[nlohmann::json::json_pointer(pointer)] = value;
    spill(temp_ / "data/quiz/meta.json", changed.dump());
    return std::string(caught([] { Corpus::open("quiz"); }).what());
  };
  EXPECT_THAT(refused("/kind", "columns"), HasSubstr("\"kind\" is \"columns\""));
  EXPECT_THAT(refused("/splits/train/0/rows", 3), HasSubstr("it counts 3 rows in train.jsonl"));
  EXPECT_THAT(refused("/splits/train/0/rows", "x"), HasSubstr("not a count"));
  EXPECT_THAT(refused("/splits/train/0/tokens", -1), HasSubstr("not a count"));
  EXPECT_THAT(refused("/splits/train/0/tokens", 17), HasSubstr("17 tokens for the 18 rows"));
  EXPECT_THAT(refused("/splits/train/0/file", "../x"), HasSubstr("not the name of a file"));
  nlohmann::json two = sound["splits"]["train"];
  two.push_back(two[0]);
  EXPECT_THAT(refused("/splits/train", two), HasSubstr("2 files, not one"));
}

TEST_F(PrepareRows, TheFingerprintFollowsTheRows) {
  PrepareOptions options = file(quiz(20));
  const auto print = [&](const std::string& name) {
    options.name = name;
    prepare(options);
    return Corpus::open(name).fingerprint();
  };
  const std::string one = print("one");
  EXPECT_EQ(print("two"), one);
  options.seed = 9;
  EXPECT_NE(print("three"), one);
}

TEST_F(PrepareRows, ForeignFilesAreNeverRemoved) {
  const std::string rows = quiz(20);
  fs::create_directories(temp_ / "data/quiz");
  spill(temp_ / "data/quiz/train.jsonl", rows);
  PrepareOptions options = file(rows);
  options.force = true;
  EXPECT_THAT(refusal(options), HasSubstr("no preparation has written"));
  EXPECT_EQ(slurp(temp_ / "data/quiz/train.jsonl"), rows);
}

}  // namespace
}  // namespace fathom
