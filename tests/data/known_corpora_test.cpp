// The corpora that prepare by name: offline copies, programs, and downloads from loopback.
#include "fathom/data/known_corpora.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <nlohmann/json.hpp>

#include "data/data_testing.h"
#include "data/loopback_server.h"
#include "fathom/data/download.h"
#include "fathom/data/prepare.h"

namespace fs = std::filesystem;

namespace fathom {
namespace {

using testing::caught;
using ::testing::HasSubstr;
using testing::LoopbackServer;
using testing::ScopedVariable;
using testing::spill;

class KnownCorporaTest : public testing::DataTest {
 protected:
  PrepareOptions shakespeare(const std::string& url = "") {
    PrepareOptions options;
    options.what = "shakespeare_char";
    options.url = url;
    options.timeout = 1;
    return options;
  }
  // A `bible` of ours, alone in PATH.
  std::string fake_bible(const std::string& script) {
    fs::create_directories(temp_ / "bin");
    spill(temp_ / "bin/bible", "#!/bin/sh\n" + script);
    ::chmod((temp_ / "bin/bible").c_str(), 0755);
    return temp_ / "bin";
  }
  PrepareOptions kjv() {
    PrepareOptions options;
    options.what = "kjv_char";
    return options;
  }
  // The true text of Shakespeare, empty when the machine has none.
  static std::string shakespeare_file() {
    const char* path = std::getenv("FATHOM_SHAKESPEARE");
    return path ? path : "";
  }
};

TEST(Sha256, MatchesTheStandardsExamples) {
  EXPECT_EQ(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST_F(KnownCorporaTest, ShakespeareHasThePublishedFigures) {
  if (shakespeare_file().empty()) GTEST_SKIP() << "FATHOM_SHAKESPEARE names no file";
  PrepareOptions options = shakespeare();
  options.input = shakespeare_file();
  const PrepareReport report = prepare(options);
  EXPECT_EQ(report.vocab_size, 65);
  EXPECT_EQ(report.characters, 1'115'394u);
  EXPECT_EQ(report.splits[0].tokens, 1'003'854u);
  EXPECT_EQ(report.splits[1].tokens, 111'540u);
  EXPECT_EQ(report.sample.rfind("First Citizen:\nBefore we proceed", 0), 0u);
  EXPECT_NEAR(report.unigram_entropy, 3.3, 0.1);

  // Prepared already: the text is not even looked for.
  options.input.clear();
  options.url = "http://127.0.0.1:1/";
  EXPECT_TRUE(prepare(options).already_prepared);
}

TEST_F(KnownCorporaTest, ShakespeareDownloads) {
  if (shakespeare_file().empty()) GTEST_SKIP() << "FATHOM_SHAKESPEARE names no file";
  const LoopbackServer server(LoopbackServer::ok(testing::slurp(shakespeare_file())));
  uint64_t received = 0;
  const PrepareReport report =
      prepare(shakespeare(server.url()), [&](const std::string& stage, uint64_t done, uint64_t) {
        if (stage == "download") received = done;
      });
  EXPECT_EQ(received, 1'115'394u);
  EXPECT_EQ(report.splits[1].tokens, 111'540u);
}

TEST_F(KnownCorporaTest, AWrongTextIsNotShakespeare) {
  PrepareOptions options = shakespeare();
  options.input = temp_ / "input.txt";
  spill(options.input, "To be");
  EXPECT_THAT(caught([&] { prepare(options); }).what(),
              HasSubstr("has 5 bytes, that of shakespeare_char has 1,115,394"));
  spill(options.input, std::string(1'115'394, 'x'));
  const Error error = caught([&] { prepare(options); });
  EXPECT_THAT(error.what(), HasSubstr("SHA-256"));
  EXPECT_THAT(error.hint(), HasSubstr("https://"));
  EXPECT_TRUE(prepared_corpora().empty());
}

TEST_F(KnownCorporaTest, FailedDownloadsSayWhyAndPointToInput) {
  const auto failure = [&](const std::string& url) {
    const Error error = caught([&] { prepare(shakespeare(url)); });
    EXPECT_THAT(error.hint(), HasSubstr("`fathom prepare shakespeare_char --input FILE`"));
    EXPECT_TRUE(prepared_corpora().empty());
    return std::string(error.what());
  };
  {
    const LoopbackServer server("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    EXPECT_THAT(failure(server.url()), HasSubstr("the server answered 404"));
  }
  {
    const LoopbackServer server(LoopbackServer::ok(std::string(1'115'395, 'x')));
    EXPECT_THAT(failure(server.url()), HasSubstr("longer than the expected 1,115,394 bytes"));
  }
  {
    const LoopbackServer server("HTTP/1.1 200 OK\r\nContent-Length: 1115394\r\n\r\nFirst");
    EXPECT_THAT(failure(server.url()), HasSubstr("cannot download"));
  }
  {
    const LoopbackServer server("HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n");
    EXPECT_THAT(failure(server.url()), HasSubstr("cannot download"));
  }
  EXPECT_THAT(failure("http://127.0.0.1:1/"), HasSubstr("cannot download http://127.0.0.1:1/"));
}

TEST_F(KnownCorporaTest, AWrongDownloadIsNotPrepared) {
  const LoopbackServer server(LoopbackServer::ok(std::string(1'115'394, 'x')));
  EXPECT_THAT(caught([&] { prepare(shakespeare(server.url())); }).what(),
              HasSubstr("has the SHA-256"));
  EXPECT_EQ(server.requests(), 1);
  EXPECT_TRUE(prepared_corpora().empty());
}

TEST_F(KnownCorporaTest, ASilentServerIsGivenUpAfterTheTimeout) {
  const LoopbackServer server("HTTP/1.1 200 OK\r\nContent-Length: 1115394\r\n\r\nFirst", true);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_THAT(caught([&] { prepare(shakespeare(server.url())); }).what(),
              HasSubstr("the server was silent for 1 seconds"));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
}

TEST_F(KnownCorporaTest, AnInterruptedDownloadEndsAtOnce) {
  const LoopbackServer server(LoopbackServer::ok(std::string(1'000'000, 'x')));
  EXPECT_THROW(
      prepare(shakespeare(server.url()), [](const std::string&, uint64_t,
                                            uint64_t) { throw std::runtime_error("interrupted"); }),
      std::runtime_error);
}

TEST_F(KnownCorporaTest, VerseNumbersAreStripped) {
  const ScopedVariable path("PATH", fake_bible("[ \"$*\" = '-f gen1:1-rev22:21' ] || exit 3\n"
                                               "echo 'Ge1:1 In the beginning: God'\n"
                                               "echo '1Co13:13 And now abideth'\n"));
  const PrepareReport report = prepare(kjv());
  EXPECT_EQ(report.characters, 38u);
  EXPECT_EQ(report.sample, "In the beginning: God\nAnd now abid");
}

TEST_F(KnownCorporaTest, AnUnexpectedBibleIsRefused) {
  const ScopedVariable path("PATH", fake_bible("echo 'Ge1:1 In the beginning'\necho 'And now'\n"));
  EXPECT_THAT(caught([&] { prepare(kjv()); }).what(), HasSubstr("line 2 of the Bible"));
  fake_bible("echo 'Ge1:1 In the beginning'; exit 4\n");
  EXPECT_THAT(caught([&] { prepare(kjv()); }).what(),
              HasSubstr("`bible -f gen1:1-rev22:21` failed with exit code 4"));
  fake_bible("kill -9 $$\n");
  EXPECT_THAT(caught([&] { prepare(kjv()); }).what(), HasSubstr("failed with signal 9"));
}

TEST_F(KnownCorporaTest, AMissingProgramNamesItsPackage) {
  const ScopedVariable path("PATH", temp_ / "nothing");
  const Error error = caught([&] { prepare(kjv()); });
  EXPECT_THAT(error.what(), HasSubstr("cannot start the program `bible`"));
  EXPECT_EQ(error.hint(), "apt install bible-kjv");
  // A copy of its output does as well.
  PrepareOptions options = kjv();
  options.input = temp_ / "verses";
  spill(options.input, "Ge1:1 In the beginning God\n");
  EXPECT_EQ(prepare(options).characters, 21u);
}

TEST_F(KnownCorporaTest, TheBibleHasItsVocabulary) {
  PrepareReport report;
  try {
    report = prepare(kjv());
  } catch (const Error& error) {
    if (error.hint() == "apt install bible-kjv") GTEST_SKIP() << error.what();
    throw;
  }
  EXPECT_EQ(report.vocab_size, find_known_corpus("kjv_char")->vocab_size);
  EXPECT_EQ(report.characters, 4'137'850u);
  EXPECT_EQ(report.sample.rfind("In the beginning God created", 0), 0u);
}

}  // namespace
}  // namespace fathom
