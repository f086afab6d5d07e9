// Preparing beside others, from files that change, under names and paths of every kind.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <exception>
#include <nlohmann/json.hpp>
#include <set>

#include "data/data_testing.h"
#include "fathom/config/path_text.h"
#include "fathom/data/corpus_name.h"
#include "fathom/data/prepare.h"

namespace fs = std::filesystem;

namespace fathom {
namespace {

using testing::caught;
using ::testing::HasSubstr;
using testing::slurp;
using testing::spill;

const std::string kTwenty = "roses are red, so be";

class PrepareEdges : public testing::DataTest {
 protected:
  PrepareOptions text(const std::string& content, const std::string& file = "poem.txt") {
    spill(temp_ / file, content);
    PrepareOptions options;
    options.what = temp_ / file;
    return options;
  }
  nlohmann::json meta(const std::string& name) {
    return nlohmann::json::parse(slurp(temp_ / ("data/" + name + "/meta.json")));
  }
  size_t entries() {
    if (!fs::exists(temp_ / "data")) return 0;
    const auto all = fs::recursive_directory_iterator(temp_ / "data");
    return static_cast<size_t>(std::distance(begin(all), end(all)));
  }
  // Prepares `options`, and calls `meanwhile` once when `stage` is reached.
  template <class Action>
  PrepareReport disturbed(const PrepareOptions& options, const std::string& stage,
                          Action meanwhile) {
    bool done = false;
    return prepare(options, [&](const std::string& now, uint64_t, uint64_t) {
      if (now != stage || done) return;
      done = true;
      meanwhile();
    });
  }
};

TEST(CorpusName, KeepsLetters) {
  const std::vector<std::pair<std::string, std::string>> names = {{"notes", "notes"},
                                                                  {"Война", "Война"},
                                                                  {"Пламя", "Пламя"},
                                                                  {"三国演义", "三国演义"},
                                                                  {"naïve 🙂", "naïve_🙂"},
                                                                  {"my poem (2)", "my_poem_(2)"},
                                                                  {"a\tb\nc", "a_b_c"},
                                                                  {"a/b", "a_b"},
                                                                  {"zero\u200bwidth", "zero_width"},
                                                                  {"no\u00a0break", "no_break"},
                                                                  {"\u202ertl", "_rtl"},
                                                                  {"\u3000", "_"},
                                                                  {"caf\xe9", "café"},
                                                                  {"\xa0\x85x", "__x"},
                                                                  {"", "text"},
                                                                  {".hidden", "text.hidden"},
                                                                  {"e\u0301", "e\u0301"},
                                                                  {"'$x\"\\*", "'$x\"\\*"}};
  for (const auto& [stem, name] : names) {
    EXPECT_EQ(corpus_name_of(stem), name) << stem;
    EXPECT_EQ(corpus_name_of(name), name) << "a name is its own name";
  }
}

TEST(CorpusName, LongOnesStayDifferent) {
  std::string letters;
  for (int i = 0; i < 90; ++i) letters += "д";
  std::set<std::string> names;
  for (const std::string& stem :
       {letters + "1", letters + "2", letters, "x" + letters, std::string(300, 'y')}) {
    const std::string name = corpus_name_of(stem);
    EXPECT_LE(name.size(), 100U);
    EXPECT_GE(name.size(), 98U) << "no more is cut than must be";
    EXPECT_TRUE(is_utf8(name)) << name;
    EXPECT_EQ(corpus_name_of(name), name);
    names.insert(name);
  }
  EXPECT_EQ(names.size(), 5U);
  EXPECT_EQ(corpus_name_of(std::string(100, 'y')), std::string(100, 'y'));
}

TEST_F(PrepareEdges, TwoFilesOfOneNameAreToldApart) {
  prepare(text(kTwenty, "a b.txt"));
  PrepareOptions other = text(kTwenty + "!", "a_b.md");
  const Error refused = caught([&] { prepare(other); });
  EXPECT_THAT(refused.what(), HasSubstr("data/a_b already holds a different corpus, made from "));
  EXPECT_THAT(refused.what(), HasSubstr("/a b.txt"));
  other.force = true;
  std::string said;
  const PrepareReport report = prepare(other, {}, [&](const std::string& warning) {
    said = warning;
    EXPECT_EQ(Corpus::open("a_b").tokens("train"), 18U) << "it is said before it is done";
  });
  EXPECT_THAT(said, HasSubstr("--force removes " + (temp_ / "data/a_b") +
                              ", a corpus of 20 tokens, made from " + (temp_ / "a b.txt")));
  EXPECT_TRUE(report.notices.empty());
  EXPECT_EQ(report.characters, 21U);
  said.clear();
  prepare(other, {}, [&](const std::string& warning) { said = warning; });
  EXPECT_EQ(said, "") << "the same corpus anew is no loss";
  other.tokenizer = "byte";
  EXPECT_THAT(prepare(other).notices.at(0), HasSubstr("made from the same text"));
}

TEST_F(PrepareEdges, WhatNobodyKnowsIsSaidToo) {
  fs::create_directories(temp_ / "data/poem");
  spill(temp_ / "data/poem/train.bin", "abcd");
  PrepareOptions options = text(kTwenty);
  EXPECT_THAT(caught([&] { prepare(options); }).what(), HasSubstr("nothing says what it was made"));
  options.force = true;
  EXPECT_THAT(prepare(options).notices.at(0), HasSubstr("--force removes"));
  fs::remove_all(temp_ / "data/poem");
  spill(temp_ / "data/poem", "a file");
  EXPECT_THAT(caught([&] { prepare(options); }).what(), HasSubstr("a file of that name is there"));
}

TEST_F(PrepareEdges, ALinkIsWrittenWhereItPoints) {
  fs::create_directories(temp_ / "disk2/mine");
  fs::create_directories(temp_ / "data");
  fs::create_directory_symlink("../disk2/mine", temp_ / "data/mine");
  fs::create_directory_symlink("../disk2/later", temp_ / "data/later");
  for (const std::string name : {"mine", "later"}) {
    PrepareOptions options = text(kTwenty);
    options.name = name;
    EXPECT_FALSE(prepare(options).already_prepared);
    EXPECT_TRUE(fs::is_symlink(temp_ / ("data/" + name)));
    EXPECT_TRUE(fs::exists(temp_ / ("disk2/" + name + "/train.bin")));
    EXPECT_TRUE(prepare(options).already_prepared);
    options.tokenizer = "byte";
    options.force = true;
    prepare(options);
    EXPECT_TRUE(fs::is_symlink(temp_ / ("data/" + name)));
    EXPECT_EQ(Corpus::open(name).vocab_size(), 256);
  }
  fs::create_symlink("loop", temp_ / "data/loop");
  PrepareOptions looped = text(kTwenty);
  looped.name = "loop";
  EXPECT_THAT(caught([&] { prepare(looped); }).what(), HasSubstr("levels of symbolic links"));
}

TEST_F(PrepareEdges, ATextThatIsCutShortIsOneSentenceAndNothingIsLeft) {
  const std::string file = temp_ / "poem.txt";
  for (const std::string tokenizer : {"char", "byte", "bpe"})
    for (const std::string stage : {"read", "merge", "tokenize"})
      for (const uint64_t rest : {0U, 100U}) {
        if (stage == "merge" && tokenizer != "bpe") continue;
        std::string words;
        for (int i = 0; i < 30'000; ++i) words += i % 3 == 0 ? "rain falls\n" : "on the hills ";
        PrepareOptions options = text(words);
        options.tokenizer = tokenizer;
        options.vocab_size = 260;
        const Error error =
            caught([&] { disturbed(options, stage, [&] { fs::resize_file(file, rest); }); });
        EXPECT_THAT(error.what(), HasSubstr("poem.txt was cut short while it was being read"))
            << tokenizer << " " << stage;
        EXPECT_EQ(entries(), 0U);
      }
}

TEST_F(PrepareEdges, ATextThatGrowsOrIsReplacedIsFineOneThatChangesIsNot) {
  const std::string file = temp_ / "poem.txt";
  const PrepareReport grown =
      disturbed(text(kTwenty), "tokenize", [&] { std::ofstream(file, std::ios::app) << " more"; });
  EXPECT_EQ(grown.characters, 20U);
  PrepareOptions again = text(kTwenty + "?");
  again.force = true;
  const PrepareReport replaced =
      disturbed(again, "tokenize", [&] { write_file_durably(file, as_bytes("x")); });
  EXPECT_EQ(replaced.characters, 21U);
  PrepareOptions other = text(kTwenty);
  other.name = "other";
  const Error error = caught([&] {
    disturbed(other, "tokenize", [&] {
      ::usleep(20'000);  // a clock's tick after it was opened
      std::fstream out(file, std::ios::in | std::ios::out);
      out << "ROSES";
    });
  });
  EXPECT_THAT(error.what(), HasSubstr("poem.txt was changed while it was being read"));
  EXPECT_FALSE(fs::exists(temp_ / "data/other"));
}

TEST_F(PrepareEdges, OfTwoAtTheSameTimeTheLaterOneSaysSo) {
  const PrepareOptions same = text(kTwenty);
  const PrepareReport report = disturbed(same, "tokenize", [&] { prepare(same); });
  EXPECT_TRUE(report.already_prepared);
  EXPECT_THAT(report.notices.at(0), HasSubstr("another process prepared the same corpus"));

  for (const bool force : {false, true}) {
    PrepareOptions mine = text(kTwenty + "!", "mine.txt"),
                   theirs = text(kTwenty + "?", "their.txt");
    mine.name = theirs.name = "shared";
    mine.force = theirs.force = force;
    const Error error = caught([&] { disturbed(mine, "tokenize", [&] { prepare(theirs); }); });
    EXPECT_THAT(error.what(), HasSubstr("shared was made by another process meanwhile"));
    EXPECT_EQ(meta("shared")["source"], theirs.what);
    EXPECT_EQ(testing::TempFolder().entries().size(), 0U);
  }
  size_t hidden = 0;
  for (const auto& entry : fs::directory_iterator(temp_ / "data"))
    hidden += entry.path().filename().string()[0] == '.';
  EXPECT_EQ(hidden, 0U);
}

// What is put into a folder while it is being replaced is not removed with it.
TEST_F(PrepareEdges, ForceLooksAgainBeforeItRemoves) {
  prepare(text(kTwenty));
  PrepareOptions options = text(kTwenty + "!");
  options.force = true;
  const Error error = caught([&] {
    disturbed(options, "tokenize", [&] { spill(temp_ / "data/poem/mine.txt", "precious"); });
  });
  EXPECT_THAT(error.what(), HasSubstr("holds \"mine.txt\""));
  EXPECT_EQ(slurp(temp_ / "data/poem/mine.txt"), "precious");
}

TEST_F(PrepareEdges, PathsAreBytes) {
  const testing::ScopedVariable root("FATHOM_DATA", temp_ / "d\xe9pot");
  const PrepareOptions options = text(kTwenty, "caf\xe9.txt");
  const PrepareReport report = prepare(options);
  EXPECT_EQ(report.name, "café");
  EXPECT_EQ(report.path, temp_ / "d\xe9pot/café");
  EXPECT_THAT(to_json(report)["path"], HasSubstr("d%E9pot/caf%C3%A9"));
  const auto saved = nlohmann::json::parse(slurp(report.path + "/meta.json"));
  EXPECT_THAT(saved["source"], HasSubstr("caf\\xe9.txt"));
  EXPECT_THAT(saved["command"], HasSubstr("caf\\xe9.txt'"));
  EXPECT_THAT(saved["command"], HasSubstr("fathom prepare $'"));
  EXPECT_EQ(Corpus::open("café").tokens("train"), 18U);
  EXPECT_EQ(Corpus::open(report.path).tokens("train"), 18U);
  EXPECT_EQ(Corpus::open(path_to_text(report.path)).tokens("train"), 18U);
  fs::rename(report.path, temp_ / "d\xe9pot/caf\xe9");
  EXPECT_EQ(Corpus::open("caf\xe9").tokens("train"), 18U);
  EXPECT_EQ(Corpus::open(path_to_text("caf\xe9")).tokens("train"), 18U);
  spill(temp_ / "d\xe9pot/caf\xe9/train.bin", "short");
  EXPECT_THAT(caught([&] { Corpus::open("caf\xe9"); }).hint(), HasSubstr("$'"));
}

TEST_F(PrepareEdges, APipeIsPreparedUnderAName) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  ASSERT_EQ(::write(ends[1], kTwenty.data(), kTwenty.size()), 20);
  ::close(ends[1]);
  PrepareOptions options;
  options.what = "/dev/fd/" + std::to_string(ends[0]);
  const Error error = caught([&] { prepare(options); });
  EXPECT_EQ(error.kind(), ErrorKind::kUsage);
  EXPECT_THAT(error.hint(), HasSubstr("--name"));
  options.name = "piped";
  EXPECT_EQ(prepare(options).characters, 20U);
  ::close(ends[0]);
  options.what = temp_.path();
  EXPECT_THAT(caught([&] { prepare(options); }).what(), HasSubstr("is a folder, not a text file"));
}

// The corpus is not to blame, and is not made again.
TEST_F(PrepareEdges, TooManyOpenFilesKeepsItsReason) {
  prepare(text(kTwenty));
  const auto limited = [](auto action) {
    rlimit before;
    ::getrlimit(RLIMIT_NOFILE, &before);
    const int next = ::dup(0);
    ::close(next);
    const rlimit few = {static_cast<rlim_t>(next) + 1, before.rlim_max};  // one more file
    ::setrlimit(RLIMIT_NOFILE, &few);
    std::exception_ptr thrown;  // looked at later: sanitizers need descriptors for that
    try {
      action();
    } catch (...) {
      thrown = std::current_exception();
    }
    ::setrlimit(RLIMIT_NOFILE, &before);
    return caught([&] {
      if (thrown) std::rethrow_exception(thrown);
    });
  };
  const Error opened = limited([] { Corpus::open("poem"); });
  EXPECT_THAT(opened.what(), HasSubstr("Too many open files"));
  EXPECT_THAT(opened.hint(), HasSubstr("ulimit -n"));
  PrepareOptions options = text(kTwenty);
  const Error prepared = limited([&] { prepare(options); });
  EXPECT_THAT(prepared.what(), HasSubstr("Too many open files"));
  EXPECT_EQ(Corpus::open("poem").tokens("train"), 18U);
}

}  // namespace
}  // namespace fathom
