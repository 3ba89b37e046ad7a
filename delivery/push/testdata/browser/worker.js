// Shows what Quorate sends by Web Push. docs/push.md has the members of a notification.

self.addEventListener('install', () => self.skipWaiting());
self.addEventListener('activate', event => event.waitUntil(self.clients.claim()));

self.addEventListener('push', event => {
  event.waitUntil(show(event.data.json()));
});

async function show(message) {
  await self.registration.showNotification(message.title, {
    body: message.body,
    tag: message.tag, // replaces the chat's last one
    renotify: Boolean(message.tag), // with a sound again; an error without a tag
    data: {chatId: message.chatId, sequenceNumber: message.sequenceNumber, count: message.count},
  });
  if ('setAppBadge' in navigator) {
    await navigator.setAppBadge(message.badge).catch(() => {}); // only installed apps have one
  }
  for (const page of await self.clients.matchAll({type: 'window', includeUncontrolled: true})) {
    page.postMessage({notified: message.chatId}); // an open page may want to catch up
  }
}

self.addEventListener('notificationclick', event => {
  event.notification.close();
  event.waitUntil(self.clients.openWindow('/?chat=' + encodeURIComponent(event.notification.data.chatId)));
});
