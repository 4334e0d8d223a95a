// Sentences of the API in the language of the page, and sentences made of codes.
// The API explains a line in English. Each pattern below is one of its sentences, so the Chinese page says the
// same; what matches none is shown as it came.

import { yuan } from "./format.js";
import { has, language, t } from "./words.js";

const AMOUNT = "(-?\\d+\\.\\d\\d)";
const DAY = "(\\d{4}-\\d\\d-\\d\\d|an unknown date)";
const STATUS = "(created|paid|received|settled|punished|closed|superseded|unknown)";

function fen(text) {
  return yuan(Number(text.replace(".", "")));
}

function day(text) {
  return text === "an unknown date" ? "未知日期" : text;
}

function on(text) {
  return text ? `于 ${day(text)} ` : "";
}

const BASIS = { "the network's expected date": "按联盟的预计日期", "reported by the network": "联盟已上报" };
const BY = (name) => (has(`by.${name}`) ? t(`by.${name}`) : name);
const DISPUTE = { "is open": "处理中", "is over, and the commission was restored": "已结束，佣金恢复", failed: "失败", succeeded: "成功" };

// [pattern of the API's sentence, its Chinese]
const PATTERNS = [
  ["(.+) is bound to nobody and no claim decides: the line waits in suspense", (id) => `${id} 未绑定任何用户，也没有认领：订单挂账，等待归属`],
  ["the line belongs to (.+), to whom (.+) is bound", (user, id) => `订单属于 ${user}：${id} 已绑定该用户`],
  ["the line belongs to (.+), who claims it while (.+) is bound to nobody", (user, id) => `订单属于 ${user}：由其认领，${id} 未绑定任何用户`],
  ["the line belongs to (.+), named in (.+)", (user, name) => `订单属于 ${user}（${BY(name)}）`],
  [`the network confirmed a punishment(?: on ${DAY})?: nobody gets a share`, (date) => `联盟${on(date)}确认处罚：任何人都没有返利`],
  [`the network froze the line(?: on ${DAY})?: every share is held`, (date) => `联盟${on(date)}冻结该订单：全部返利暂扣`],
  [`(estimated|settled) commission ${AMOUNT} less the service fee of ${AMOUNT} leaves ${AMOUNT}`,
    (kind, all, fee, net) => `${kind === "settled" ? "结算" : "预估"}佣金 ${fen(all)}，减去服务费 ${fen(fee)}，净佣金 ${fen(net)}`],
  [`the network expects to settle on ${DAY}`, (date) => `联盟预计于 ${day(date)} 结算`],
  [`settled(?: on ${DAY})? \\((the network's expected date|reported by the network)\\)`, (date, basis) => `${on(date)}已结算（${BASIS[basis]}）`],
  [`refunds took ${AMOUNT}, which leaves ${AMOUNT}`, (taken, rest) => `退款扣除 ${fen(taken)}，剩余 ${fen(rest)}`],
  [`disputes over ${AMOUNT} are open: all shares except those of ${AMOUNT} are held`, (over, rest) => `涉及 ${fen(over)} 的维权处理中：除 ${fen(rest)} 对应的返利外，其余暂扣`],
  ["the network reports punished and nothing else: nobody gets a share", () => "联盟只上报了处罚：任何人都没有返利"],
  [`the network reports ${STATUS}: nobody gets a share`, (status) => `联盟上报“${t(`status.${status}`)}”：任何人都没有返利`],
  ["no snapshot has arrived yet: nobody gets a share", () => "尚未收到订单快照：任何人都没有返利"],
  [`paid on ${DAY}, before the first rule version: nothing for (.+) \\(no-rule\\)`, (date, user) => `付款于 ${day(date)}，早于第一个规则版本：${user} 没有返利`],
  ["repriced: rules, level and inviter were chosen anew for (.+)", (user) => `已重新计价：为 ${user} 重新选择规则、等级和邀请人`],
  [`repriced on ${DAY} \\((.*)\\): rules, level and inviter were chosen anew for (.+)`, (date, why, user) => `于 ${day(date)} 重新计价（${why}）：为 ${user} 重新选择规则、等级和邀请人`],
  ["the share of (.+) is unavailable: the worker that owns it cannot be reached", (user) => `${user} 的返利暂时无法读取：负责的工作节点无法连接`],
  ["the newest facts have not reached the accounts yet", () => "最新的变化尚未记入账户"],
  [`the platform keeps ${AMOUNT}`, (amount) => `平台保留 ${fen(amount)}`],
  [`from ${DAY}, the network's expected date, for (.+?): (.+)`, (date, user, where) => `从 ${day(date)}（联盟的预计日期）起，${user}：${buckets(where)}`],
  [`(settled|paid) on ${DAY}: (.+) for (.+?)(, who invited .+)? \\(level (.+?), rules (.+?)\\)(?:, (.+))?`, share],
  [`the network reports ${STATUS}: estimated commission ${AMOUNT}(?:, settled commission ${AMOUNT})?, service fee ${AMOUNT}`,
    (status, estimated, settled, fee) => `联盟上报“${t(`status.${status}`)}”：预估佣金 ${fen(estimated)}${settled ? `，结算佣金 ${fen(settled)}` : ""}，服务费 ${fen(fee)}`],
  [`dispute (.+) (is open|is over, and the commission was restored|failed|succeeded): ${AMOUNT} of the commission`, (id, state, amount) => `维权 ${id} ${DISPUTE[state]}：涉及佣金 ${fen(amount)}`],
  ["punishment by the network: (.+)", (value) => `联盟处罚：${has(`punishment.${value}`) ? t(`punishment.${value}`) : value}`],
  ["claimed by (.+)", (user) => `由 ${user} 认领`],
].map(([pattern, words]) => [new RegExp(`^${pattern}$`, "u"), words]);

function share(kind, date, made, user, invited, level, rule, where) {
  const who = `${user}${invited ? `（邀请了 ${invited.slice(", who invited ".length)}）` : ""}`;
  return `${day(date)} ${kind === "settled" ? "结算" : "付款"}：${who}，等级 ${level}，规则 ${rule}：${product(made)}${where ? `，${buckets(where)}` : ""}`;
}

function product(text) {
  if (text === "the rules give nothing") return "规则规定没有返利";
  const below = new RegExp(`^commission ${AMOUNT} is below the minimum of ${AMOUNT}, nothing$`).exec(text);
  if (below) return `佣金 ${fen(below[1])} 低于下限 ${fen(below[2])}，没有返利`;
  const made = new RegExp(`^(rebate of (.+)|commission) ${AMOUNT} × (.+?) = ${AMOUNT}(?:, below the minimum of ${AMOUNT}, nothing)?$`).exec(text);
  if (!made) return text;
  const [, , of, base, rate, result, least] = made;
  return `${of ? `${of} 的返利` : "佣金"} ${fen(base)} × ${rate} = ${fen(result)}${least ? `，低于下限 ${fen(least)}，没有返利` : ""}`;
}

const WHERE = [
  [new RegExp(`^${AMOUNT} estimated$`), (amount) => `预估 ${fen(amount)}`],
  [new RegExp(`^${AMOUNT} available since ${DAY}$`), (amount, date) => `${fen(amount)} 自 ${day(date)} 起可提现`],
  [new RegExp(`^${AMOUNT} confirmed until ${DAY}$`), (amount, date) => `${fen(amount)} 已确认，${day(date)} 起可提现`],
  [new RegExp(`^${AMOUNT} held while a dispute is open$`), (amount) => `${fen(amount)} 因维权暂扣`],
  [new RegExp(`^${AMOUNT} held while the network has frozen the line$`), (amount) => `${fen(amount)} 因联盟冻结暂扣`],
];

function buckets(text) {
  return text.split(" and ").map((part) => translated(WHERE, part)).join("，");
}

function translated(patterns, text) {
  for (const [pattern, words] of patterns) {
    const match = pattern.exec(text);
    if (match) return words(...match.slice(1));
  }
  return text;
}

// Return a sentence of the API in the language of the page, amounts as everywhere on it.
export function sentence(text) {
  if (language() === "zh") return translated(PATTERNS, text);
  const amounts = text.replace(/(^|[ (])(-?\d+\.\d\d)(?=[ ,;.)]|$)/g, (_, before, amount) => before + fen(amount));
  return amounts.slice(0, 1).toUpperCase() + amounts.slice(1);
}

// Return what an entry of a ledger says: what happened to the money, and what caused it.
export function entrySentence(entry) {
  const kind = has(`kind.${entry.kind}`) ? t(`kind.${entry.kind}`) : entry.kind;
  const cause = has(`cause.${entry.reason}`) ? t(`cause.${entry.reason}`) : entry.reason;
  const role = entry.role === "inviter" ? t("kind.as-inviter") : "";
  return cause ? t("kind.because", { kind, cause, role }) : `${kind}${role}`;
}

function described(group, code) {
  if (has(`${group}.${code}`)) return t(`${group}.${code}`);
  for (const stem of ["missing-", "invalid-", "limit-"]) {
    if (code.startsWith(stem)) return t(`${group}.${stem}`, { member: code.slice(stem.length) });
  }
  return code;
}

// Return what a reason code of a dead letter means.
export function failureSentence(code) {
  return described("failed", code);
}

// Return who is to do what about it.
export function cure(code) {
  return described("cure", code);
}
