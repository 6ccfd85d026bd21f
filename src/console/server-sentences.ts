/**
 * What the server says, in Chinese. It answers in English, as its interface and its log do, so each of its sentences that a page may
 * show stands here with its translation. `{}` stands for what differs, {1} and {2} for the first and the second of them where the
 * order is another one; what stands there is translated too where it is a sentence or a part of one itself.
 */
type Sentence = readonly [english: string, chinese: string];

/** Records that cannot be used (record/decode.ts), and what their fields have to be (record/schema.ts). */
const RECORDS: readonly Sentence[] = [
  ['The bytes are not valid UTF-8.', '内容不是有效的UTF-8文本。'],
  ['The message holds no record.', '消息中没有话单。'],
  ['The bytes are not valid JSON.', '内容不是有效的JSON。'],
  ['The bytes are not valid JSON (at position {}).', '内容不是有效的JSON（第{}个字符处）。'],
  ['Line {} (blank ones not counted) is not valid JSON.', '第{}行（不计空行）不是有效的JSON。'],
  [
    'The bytes are not one MessagePack map or array with text in UTF-8.',
    '内容既不是JSON，也不是以UTF-8为文本的单个MessagePack映射或数组。',
  ],
  [
    'The MessagePack map has a key that is no string, or a broken timestamp.',
    'MessagePack映射的键不是字符串，或时间戳损坏。',
  ],
  ['The field name {} is refused at every level.', '任何层级都不允许字段名{}。'],
  ['The name of a field is longer than {} bytes.', '字段名超过{}字节。'],
  ['A record must be an object.', '话单应为对象。'],
  ['The record is nested deeper than {} levels.', '话单嵌套超过{}层。'],
  ['The record is larger than {} bytes.', '话单超过{}字节。'],
  ['eventTime is later than any clock of the network can be right now.', 'eventTime晚于网络当前可能的任何时间。'],
  ['{} is longer than {} bytes.', '{}超过{}字节。'],
  ['{} holds half of a surrogate pair, which is no character.', '{}含有不成对的代理字符。'],
  [
    '{} is a MessagePack extension or binary, which attributes cannot hold.',
    '{}是MessagePack扩展或二进制值，attributes中不允许。',
  ],
  ['{} must be a finite number of at most 1e15 in size.', '{}应为绝对值不超过1e15的有限数值。'],
  ['one of {}', '以下之一：{}'],
  [
    'a time from 2000-01-01 on: integer Unix epoch milliseconds, or RFC 3339 with an offset',
    '2000-01-01以后的时间：整数Unix毫秒时间戳，或带时区偏移的RFC 3339时间',
  ],
  [
    'a time: integer Unix epoch milliseconds, or RFC 3339 with an offset',
    '时间：整数Unix毫秒时间戳，或带时区偏移的RFC 3339时间',
  ],
  ['a string that matches {}', '符合{}的字符串'],
  ['a string of {} to {} characters', '{}至{}个字符的字符串'],
  ['an integer of at most 1e15 in size', '绝对值不超过1e15的整数'],
  ['a finite number of at most 1e15 in size', '绝对值不超过1e15的有限数值'],
  ['an integer from {} to 1e15', '{}至1e15的整数'],
  ['a finite number from {} to 1e15', '{}至1e15的有限数值'],
  ['an object', '对象'],
  ['a string', '字符串'],
  ['a boolean', '布尔值'],
];

/** Rows of a list (reference/lists.ts). */
const LISTS: readonly Sentence[] = [
  ['the quotes are not closed', '引号未闭合'],
  ["'{}' is no column; known are {}", '“{}”不是有效列名；可用列名：{}'],
  ["the column '{}' is there twice", '列“{}”重复'],
  ["the header needs the column '{}'", '首行缺少列“{}”'],
  ['expected {} cells, found {}', '应有{}个单元格，实有{}个'],
  ['a list has at most {} rows', '名单最多{}行'],
  ['the cell is longer than {} characters', '单元格超过{}个字符'],
  ["'{}' is no kind; known are {}", '“{}”不是有效类别；可用类别：{}'],
  ['a range ends with a number of {} digits that is not before {}', '号段的结束号码应为{}位且不小于{}'],
  ["only a 'range' has an end", '只有号段（range）可以有结束号码'],
  ["'{}' is no {}: a number from 0", '“{}”不是有效的{}：应为不小于0的数值'],
  ["'{}' is no {}: a number up to {}", '“{}”不是有效的{}：绝对值应不超过{}'],
  ['a place needs latitude and longitude', '位置须同时给出纬度和经度'],
  ['more than {} classes', '类别名超过{}个'],
  ['the value is empty', '值为空'],
  ["'{}' is no date such as 2026-01-31", '“{}”不是形如2026-01-31的日期'],
  ["'{}' is no {}: {} to {} digits", '“{1}”不是有效的{2}：应为{3}至{4}位数字'],
];

/**
 * What a test of a rule expected and what came (rule-changes/rule-test.ts). The reasons in it are those of the rule in English, by
 * which the test goes: they are left out.
 */
const RULE_TESTS: readonly Sentence[] = [
  ['expected {} alerts, got {}: {}', '应有{1}次告警，实有{2}次'],
  ['expected {} alerts, got {}', '应有{}次告警，实有{}次'],
  ['alert {}: expected {}, got {} (key {})', '第{1}次告警应为{2}，实为{3}（对象{4}）'],
  ['record {} is not valid: {}', '第{}条话单无效：{}'],
  ['the tests take longer than {} s', '测试超过{}秒仍未结束'],
  ...(
    [
      ['info', '提示'],
      ['warning', '警告'],
      ['critical', '紧急'],
    ] as const
  ).flatMap(([severity, name]): Sentence[] => [
    [`${severity} firing after {} s: {}`, `{1}秒时${name}触发`],
    [`${severity} resolved after {} s: {}`, `{1}秒时${name}恢复`],
  ]),
];

/** Why a request is refused (http/). */
const REFUSALS: readonly Sentence[] = [
  ['{} Nothing was changed.', '{}未作任何更改。'],
  ['An event of this id is there already.', '该操作已经记录。'],
  ['The case is closed; reopen it first.', '案件已关闭，请先重新打开。'],
  ['The case is not closed.', '案件未关闭。'],
  ['Somebody has acknowledged the case already.', '案件已有人受理。'],
  ['Nothing of this is snoozed.', '并未暂缓。'],
  ['The desk of this case has no such outcome or event.', '该案件所在业务台没有此结果或操作。'],
  ['A case cannot be merged into itself.', '案件不能并入自身。'],
  ['The case was merged into another one; work on that.', '案件已并入另一案件，请在该案件中处理。'],
  ['There is no such case on this desk.', '该业务台没有此案件。'],
  ['There is no such event that could be taken back.', '没有可撤销的此项操作。'],
  ['The case cannot take more of these.', '该案件不能再添加此类内容。'],
  ['A rule may be snoozed for at most 180 days.', '规则最多暂缓180天。'],
  ['The subscriber belongs to the control group: no offer is made.', '该用户属于对照组，不提供优惠。'],
  ['Somebody else changed this case first; nothing was changed.', '他人已先行更改该案件，未作任何更改。'],
  ['Somebody else changed this first; nothing was changed.', '他人已先行更改，未作任何更改。'],
  ['by: say who you are; nobody has to sign in here.', '请填写您的姓名：此处无需登录，但操作须署名。'],
  ['reason: say why it is rejected.', '请填写驳回原因。'],
  ['Name either cases or a filter.', '请指定案件或筛选条件，二者取一。'],
  ['There is no case of this id.', '没有此案件。'],
  ['There is no alert of this id.', '没有此告警。'],
  ['There is no bulk action of this id.', '没有此批量操作。'],
  ['There is no such view.', '没有此视图。'],
  ['There is no lane {}.', '没有队列{}。'],
  ['Two lanes have the same name.', '两个队列同名。'],
  ['A desk has at most {} views.', '每个业务台最多{}个视图。'],
  ['A shared view is changed by who made it, or by a lead.', '共享视图只能由创建者或组长更改。'],
  ['The default of a desk is one of its shared views.', '业务台的默认视图应为其共享视图之一。'],
  ['The desk {} is not one of yours.', '您不属于业务台{}。'],
  ['Your roles or scopes do not include cases.', '您的角色或权限不含案件。'],
  ['Your roles or scopes do not include this.', '您的角色或权限不允许此操作。'],
  ['No record of this subscriber is in the state.', '当前状态中没有该用户的话单。'],
  ['This reference names no subscriber here.', '该引用未对应任何用户。'],
  ['{}: no such date.', '{}：没有此日期。'],
  ['from must not be later than to.', 'from不得晚于to。'],
  ['There is no time zone {}.', '没有时区{}。'],
  ['There is no list of this name.', '没有此名单。'],
  ['The list has no such entry.', '名单中没有此条目。'],
  ['Entries of lists are added one by one.', '名单条目须逐条添加。'],
  ['Only who sees whole numbers may end an entry.', '只有可见完整号码的人员才能移除条目。'],
  ['Only who sees whole numbers may search a list for one.', '只有可见完整号码的人员才能在名单中检索。'],
  ['There is no rule of this id.', '没有此规则。'],
  ['There is no rule of this id on your desks.', '您的业务台没有此规则。'],
  ['The rule is not valid; nothing was changed.', '规则无效，未作任何更改。'],
  ['The rule exists, as {}.', '规则已存在，版本为{}。'],
  ['The rule is now {}.', '规则当前版本为{}。'],
  ['The rule is larger than a message of this NATS server may be.', '规则超过此NATS服务器允许的消息大小。'],
  ['The rule has changed since the draft was made; nothing was changed.', '起草后规则已变更，未作任何更改。'],
  ['Version {} is in force; a changed rule needs a higher version.', '版本{}正在生效；更改后的规则须使用更高版本。'],
  ['The text has the id {}, the address {}.', '文本中的编号为{}，地址中为{}。'],
  ['Give one of text, edits and restores.', '请在文本、修改与恢复中取其一。'],
  ['The draft is not valid.', '草稿无效。'],
  ['The draft changes nothing.', '草稿没有任何更改。'],
  ['Tests of the rule fail with this change.', '此更改未通过规则自带的测试。'],
  ['The back-test is of another draft, or has no result.', '该回测属于另一草稿，或没有结果。'],
  ['The change does not fit the other rules any more: {}.', '此更改与其他规则已不相容：{}。'],
  ['Another change of this rule waits for its decision; nothing was stored.', '该规则已有变更等待审批，未保存。'],
  ['Another back-test is running; wait for its end or cancel it.', '另一回测正在运行，请等待其结束或取消。'],
  ['There is no such back-test of this rule any more.', '该规则的此回测已不存在。'],
  ['Only whoever proposed a change can withdraw it.', '只有提出者可以撤回变更。'],
  ['Whoever proposed a change cannot decide on it; it takes another person.', '提出者不能自行审批，须由他人决定。'],
  ['This proposal does not wait any more.', '该变更已不在等待审批。'],
  ['The history of this rule has no such entry.', '规则历史中没有此条目。'],
  ['This entry brings no text.', '该条目不含规则文本。'],
  ['There is no rejected record of this sequence.', '没有此序号的拒收记录。'],
  ['It would be rejected again; nothing was sent.', '仍会被拒收，未发送。'],
  [
    '{} bytes of this letter were cut off; send a whole body in its place.',
    '该记录有{}字节被截断，请填写完整正文后发送。',
  ],
  ['There is no record in the body; nothing was sent.', '正文中没有话单，未发送。'],
  [
    'Only who sees whole numbers may correct a record; it can be sent as it is.',
    '只有可见完整号码的人员才能更正话单；可原样发送。',
  ],
  ['There is no model whose churn formula is watched.', '没有需要跟踪离网公式的模型。'],
  ['There is no user of this name.', '没有此人员。'],
  ['At least one desk is needed.', '至少须选择一个业务台。'],
  [
    'Administrators do not take their own right away: another one does.',
    '管理员不能取消自己的权限，须由另一管理员操作。',
  ],
  ['The password of this person is kept by the identity provider.', '该人员的密码由身份提供方管理。'],
  ['The new password {}.', '新密码{}。'],
  ['needs at least {} characters', '至少需要{}个字符'],
  ['may have at most {} characters', '最多{}个字符'],
  ['needs more different characters', '需要更多不同的字符'],
  ['must not contain the name', '不得包含用户名'],
  ['Name or password is wrong.', '用户名或密码错误。'],
  ['The present password is wrong.', '当前密码错误。'],
  ['The one-time password has to be changed first.', '须先修改一次性密码。'],
  ['Too many attempts for this name. Wait a minute.', '该用户名尝试次数过多，请一分钟后再试。'],
  ['Too many people sign in at once.', '同时登录的人员过多。'],
  ['No identity provider is configured.', '未配置身份提供方。'],
  ['The identity provider does not answer.', '身份提供方没有应答。'],
];

/** Of every request, whatever it asks for. */
const REQUESTS: readonly Sentence[] = [
  ['The server does not answer.', '服务器没有应答。'],
  ['The server failed to answer; its log says why.', '服务器处理失败，原因见其日志。'],
  ['The server stops.', '服务器正在停止。'],
  ['Not now: {}.', '暂时不可用：{}。'],
  ['NATS does not answer; nothing was changed.', 'NATS没有应答，未作任何更改。'],
  ['NATS did not answer; nothing was found or changed.', 'NATS没有应答，未找到也未更改任何内容。'],
  ['NATS did not answer, so whether this is stored is not known; {}', 'NATS没有应答，是否已保存尚不确定；{}'],
  ['look at the settings again.', '请重新查看设置。'],
  ['look at the rule again.', '请重新查看规则。'],
  ['look at the case again.', '请重新查看案件。'],
  ['The audit log cannot be written, so nothing can be changed now.', '审计日志无法写入，暂不能作任何更改。'],
  ['Too many requests in a minute.', '一分钟内请求过多。'],
  [
    'More than {} requests in a minute from one address. Try again in {}.',
    '同一地址一分钟内请求超过{}次，请在{}后重试。',
  ],
  ['Too many requests bring records at once.', '同时写入话单的请求过多。'],
  ['As many live clients as allowed are connected.', '实时连接数已达上限。'],
  ['As many searches as allowed are waiting.', '等待中的检索已达上限。'],
  ['Pages of another origin may not use this server.', '其他来源的页面不能使用此服务器。'],
  ['Only pages of this server may use such a ticket.', '只有此服务器的页面可以使用该凭证。'],
  [
    'This server is not known by that host name; see the allowed origins.',
    '此服务器不使用该主机名，请检查允许的来源。',
  ],
  ['There is nothing at {} {}.', '{} {}处没有内容。'],
  ['{} is not possible here, only {}.', '此处不支持{}，仅支持{}。'],
  ['The WebSocket is GET {}.', 'WebSocket地址为GET {}。'],
  ['This is a WebSocket.', '此地址为WebSocket。'],
  ['The body is empty.', '正文为空。'],
  ['The body is not JSON.', '正文不是JSON。'],
  ['The body is not UTF-8 text.', '正文不是UTF-8文本。'],
  ['The body is larger than {} bytes; send less at a time.', '正文超过{}字节，请分次发送。'],
  ['Content-Type must be one of {}.', 'Content-Type应为以下之一：{}。'],
  ['Compressed bodies are not read.', '不接受压缩的正文。'],
  ['There is no parameter {}.', '没有参数{}。'],
  ['Requests of a page that change something carry the header {}: 1.', '页面的更改请求须带有请求头{}：1。'],
  [
    'Nobody has to sign in here yet. `ringfence users add NAME --role admin` adds the first person.',
    '此处尚无需登录。“ringfence users add NAME --role admin”可添加第一位人员。',
  ],
  ['the `next` of an earlier page', '此前一页的“next”'],
  [
    'Unix epoch milliseconds, or RFC 3339 with an offset, such as {}',
    'Unix毫秒时间戳或带时区偏移的RFC 3339时间，例如{}',
  ],
  [
    '5 to 15 digits without +, or the subscriberRef of a masked number',
    '5至15位数字（不含+），或掩码号码的subscriberRef',
  ],
  ['the `next` of an earlier answer', '此前应答的“next”'],
];

/** They fit much, so they come last. */
const GENERAL: readonly Sentence[] = [
  ['{} must be {}.', '{}应为{}。'],
  ['{} is missing.', '缺少{}。'],
];

const PATTERNS = [...RECORDS, ...LISTS, ...RULE_TESTS, ...REFUSALS, ...REQUESTS, ...GENERAL].map(
  ([english, chinese]) => ({ parts: english.split('{}'), chinese }),
);

/** What stands in the gaps between these parts, each as short as can be; undefined where the sentence is another one. */
function gapsOf(parts: readonly string[], sentence: string): string[] | undefined {
  const last = parts.length - 1;
  if (last === 0) return sentence === parts[0] ? [] : undefined;
  if (!sentence.startsWith(parts[0]!)) return undefined;
  const gaps: string[] = [];
  let at = parts[0]!.length;
  for (let index = 1; index <= last; index++) {
    const part = parts[index]!;
    // A gap is never empty.
    const found = index < last ? sentence.indexOf(part, at + 1) : sentence.length - part.length;
    if (found <= at || !sentence.startsWith(part, found)) return undefined;
    gaps.push(sentence.slice(at, found));
    at = found + part.length;
  }
  return gaps;
}

/** A sentence of the server as a Chinese page shows it; one that is not here is given back as it is. */
export function inChinese(sentence: string): string {
  for (const { parts, chinese } of PATTERNS) {
    const values = gapsOf(parts, sentence)?.map(inChinese);
    if (values === undefined) continue;
    let next = 0;
    return chinese.replace(/\{(\d?)\}/g, (_, place: string) => values[place === '' ? next++ : Number(place) - 1] ?? '');
  }
  return sentence;
}
